#!/bin/sh
# Fetches what the lab needs into FOLDER, and unpacks it there: a kernel, busybox, and qemu where there is none. Nothing is
# installed or removed, and apt's own lists are left alone: it works as anybody. Ends with 3, and says why, where it cannot.
set -eu
folder=$1
skip() { echo "$1"; exit 3; }

[ -e "$folder/ready" ] && exit 0
for tool in apt-get apt-cache dpkg; do
  command -v $tool >/dev/null 2>&1 || skip "there is no $tool"
done
[ "$(dpkg --print-architecture)" = amd64 ] || skip 'it needs an amd64 machine'
rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs" "$folder/kernel" "$folder/qemu"
folder=$(cd "$folder" && pwd)

# Lists of our own, and fresh: kernels disappear from mirrors. A sandbox user could not write here.
apt() {
  program=$1
  shift
  "$program" -qq -o Dir::State::Lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1 "$@"
}
apt apt-get update >"$folder/apt.log" 2>&1 || skip "apt has no lists to be had; see $folder/apt.log"
kernel=$(apt apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p')
[ -n "$kernel" ] || skip "apt knows no linux-image-cloud-amd64: this is no Debian, or its mirrors are not to be had; see $folder/apt.log"
qemu=
if ! command -v qemu-system-x86_64 >/dev/null 2>&1; then
  # What would be installed is what this machine lacks; a simulation changes nothing.
  qemu=$(apt apt-get -s install --no-install-recommends qemu-system-x86 2>>"$folder/apt.log" | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
  [ -n "$qemu" ] || skip "apt finds no way to qemu-system-x86; see $folder/apt.log"
fi
# shellcheck disable=SC2086 # one word for each package
(cd "$folder/debs" && apt apt-get download "$kernel" busybox-static $qemu) >>"$folder/apt.log" 2>&1 || skip "the downloads are not to be had; see $folder/apt.log"
for deb in "$folder"/debs/*.deb; do
  case ${deb##*/} in
    linux-image-* | busybox-static_*) dpkg -x "$deb" "$folder/kernel" ;;
    *) dpkg -x "$deb" "$folder/qemu" ;;
  esac
done
rm -rf "$folder/debs" "$folder/apt"
echo "$kernel" >"$folder/ready"
