# Fetches the collector and the plan into memory, checks that the collector is ours, and runs it. This writes nothing to a
# disk (the agent keeps this text and its output there), follows no setting of this machine's users, and there is no
# credential here but in the URLs.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT
umask 077
fail() { echo "cordon: $1" >&2; exit 1; }

case "$(uname -m)" in
  x86_64) digest='${CollectorSha256X86}' ;;
  aarch64) digest='${CollectorSha256Arm64}' ;;
  *) fail 'there is no collector for this processor' ;;
esac
[ -n "$digest" ] || fail 'no collector was deployed for this processor'

dir=$(mktemp -d /run/cordon.XXXXXXXX 2>/dev/null || mktemp -d /dev/shm/cordon.XXXXXXXX 2>/dev/null) || fail 'there is no place in memory to work in'
clean() {
  umount "$dir" 2>/dev/null
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
# A file system of our own, since others may be mounted without the right to run anything.
mount -t tmpfs -o mode=0700,nosuid,nodev,size=64m tmpfs "$dir" 2>/dev/null || [ "$(stat -f -c %T "$dir")" = tmpfs ] || fail 'no file system in memory could be mounted'

# Without a proxy, a certificate or a startup file that somebody set.
: >"$dir/none"
clean_env() { env -i PATH="$PATH" "$@"; }
fetch() {
  if command -v curl >/dev/null 2>&1; then
    clean_env curl -q -fsS --retry 3 --connect-timeout 20 --max-time 300 -o "$2" "$1"
  else
    clean_env SYSTEM_WGETRC="$dir/none" WGETRC="$dir/none" wget -q -T 60 -O "$2" "$1"
  fi
}
fetch '{{ PlanUrl }}' "$dir/plan" || fail 'the plan could not be fetched'
IFS= read -r url <"$dir/plan"
fetch "$url" "$dir/collector" || fail 'the collector could not be fetched'
[ "$(sha256sum <"$dir/collector" | cut -c1-64)" = "$digest" ] || fail 'the collector is not the one that this document was made for, so it was not run'
chmod 700 "$dir/collector"
clean_env "$dir/collector" capture --plan "$dir/plan" ${CollectorArguments}
