#!/bin/sh
# usage: onnxruntime_headers.sh DESTINATION
#
# Prints the folder of onnxruntime_c_api.h. Takes the first of: what an earlier call left in
# DESTINATION, an installed libonnxruntime-dev, Debian's package unpacked into DESTINATION, the
# release archive on GitHub unpacked there. Fails with one line. pip's onnxruntime ships no headers.
#
# Needs no root and leaves the system as it is: its package sources, lists and caches are only read.
set -eu

destination=$1
header=onnxruntime_c_api.h
oldest_api=17                    # onnxruntime 1.17, see plugins/onnxruntime/host.h
debian_suite=trixie              # the first Debian with the package
release=1.23.2

# Prints the folder under $1 that has headers new enough.
headers_in() {
  file=$(find "$1" -name $header 2>/dev/null | head -n 1)
  [ -n "$file" ] || return 1
  api=$(sed -n 's/^#define ORT_API_VERSION \([0-9]*\).*/\1/p' "$file")
  [ "${api:-0}" -ge $oldest_api ] && dirname "$file"
}

# The stanza or line of the machine's own Debian archive, for another suite, as a .sources or .list
# file in folder $1: the mirror, the proxy and the keys stay those that the machine trusts.
write_sources() {
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ -n "$codename" ] || return 1
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    awk -v RS= -v codename="$codename" -v suite=$debian_suite '
      $0 ~ "(^|\n)Suites:[^\n]*[ \t]" codename "([ \t\n]|$)" {
        gsub(/(^|\n)Suites:[^\n]*/, "\nSuites: " suite)
        gsub(/(^|\n)Components:[^\n]*/, "\nComponents: main")
        sub(/^\n/, "")
        print
        exit
      }' "$file" > "$1/debian.sources"
    [ ! -s "$1/debian.sources" ] || return 0
    rm "$1/debian.sources"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    sed -n -E "s/^[ \t]*deb[ \t]+((\[[^]]*\][ \t]+)?[^ \t]+)[ \t]+$codename[ \t].*/deb \1 $debian_suite main/p" \
      "$file" | head -n 1 > "$1/debian.list"
    [ ! -s "$1/debian.list" ] || return 0
    rm "$1/debian.list"
  done
  return 1
}

from_debian() {
  command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || return 1
  mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial" "$work/package"
  write_sources "$work/sources" || return 1
  # The machine's settings, without the hooks that run after an update of the system's lists.
  apt-config dump | grep -v -E '^APT::Update::(Pre|Post)-Invoke' > "$work/apt.conf"
  cat >> "$work/apt.conf" <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
END
  (cd "$work" && export APT_CONFIG="$work/apt.conf" &&
    apt-get update && apt-get download libonnxruntime-dev &&
    dpkg-deb -x libonnxruntime-dev_*.deb package) > "$work/log" 2>&1 || return 1
  headers_in "$work/package" > /dev/null
}

from_github() {
  case $(uname -m) in
    x86_64) machine=x64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) return 1 ;;
  esac
  name=onnxruntime-linux-$machine-$release
  url=https://github.com/microsoft/onnxruntime/releases/download/v$release/$name.tgz
  mkdir -p "$work/package"
  { curl -fsSL --connect-timeout 20 --max-time 600 -o "$work/$name.tgz" "$url" ||
    wget -q --timeout=60 --tries=1 -O "$work/$name.tgz" "$url"; } > "$work/log" 2>&1 || return 1
  tar -xzf "$work/$name.tgz" -C "$work/package" "$name/include" && headers_in "$work/package" > /dev/null
}

headers_in "$destination" && exit
for installed in /usr/include /usr/local/include; do
  headers_in $installed/onnxruntime && exit
done

parent=$(dirname "$destination")
mkdir -p "$parent"
work=$(mktemp -d "$(cd "$parent" && pwd)/onnxruntime-headers.XXXXXX")
trap 'rm -rf "$work"' EXIT
if from_debian || from_github; then
  rm -rf "$destination"
  mv "$work/package" "$destination"
  headers_in "$destination"
else
  echo "no onnxruntime C API headers: libonnxruntime-dev is not installed, and neither Debian's package" \
    "nor GitHub's release archive could be fetched; unpack one and pass -DORT_INCLUDE_DIR=<folder of" \
    "$header>" >&2
  exit 1
fi
