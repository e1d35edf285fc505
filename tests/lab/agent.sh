# The agent: takes a command, runs it as Systems Manager's would, says how it ended. $port, $account and $instance are init's.
agent="http://127.0.0.1:$port/_cordon/agent"
who="account=$account&instance=$instance"
echo "LAB: ready"
while :; do
  rm -f /tmp/script
  busybox wget -q -S -O /tmp/script "$agent/next?$who" 2>/tmp/headers
  command=$(sed -n 's/^ *[Xx]-[Cc]ordon-[Cc]ommand: *//p' /tmp/headers | tr -d '\r' | head -n 1)
  if [ -z "$command" ]; then
    sleep 1
    continue
  fi
  echo "LAB: runs $command"
  code=0
  /bin/sh /tmp/script >/tmp/output 2>/tmp/errors || code=$?
  echo "LAB: $command ended with $code"
  cat /tmp/errors
  busybox wget -q -O /dev/null --post-file /tmp/output "$agent/done?$who&command=$command&code=$code"
done
