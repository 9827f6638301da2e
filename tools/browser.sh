#!/bin/sh
# usage: browser.sh DESTINATION
#
# Makes DESTINATION/chromium a program that starts a headless Chromium, for the tests of the HTML
# page: the machine's own one, or Debian's package and what it depends on, unpacked into DESTINATION.
# Needs no root and leaves the system as it is: its package sources are read, nothing is installed.
set -eu

destination=$1
program=$destination/chromium
mkdir -p "$destination"
destination=$(cd "$destination" && pwd)

# Writes the program: a Chromium that is told to stay offline and to leave nothing behind.
write_program() {
  cat > "$program.part" <<END
#!/bin/sh
$2
profile=\$(mktemp -d)
trap 'rm -rf "\$profile"' EXIT
"$1" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage \\
  --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \\
  --host-resolver-rules="MAP * ~NOTFOUND" \\
  --user-data-dir="\$profile" "\$@"
END
  chmod +x "$program.part"
  "$program.part" --dump-dom 'data:text/html,<p>it works' 2> "$destination/log" | grep -q 'it works' ||
    return 1
  mv "$program.part" "$program"
}

from_machine() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    found=$(command -v $name) && write_program "$found" "" && return 0
  done
  return 1
}

from_debian() {
  command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || return 1
  work=$destination/apt
  rm -rf "$work" "$destination/root"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages" "$destination/root"
  # The machine's settings, without the hooks that run after an update of the system's lists.
  apt-config dump | grep -v -E '^APT::Update::(Pre|Post)-Invoke' > "$work/apt.conf"
  cat >> "$work/apt.conf" <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
END
  (cd "$work/packages" && export APT_CONFIG="$work/apt.conf" &&
    apt-get update &&
    # What an installation would fetch: Chromium, and whatever of its needs is not installed.
    apt-get install --simulate --no-install-recommends chromium | sed -n 's/^Inst \([^ ]*\) .*/\1/p' \
      > ../names && [ -s ../names ] && apt-get download $(cat ../names) &&
    for package in *.deb; do dpkg-deb -x "$package" "$destination/root"; done
  ) > "$destination/log" 2>&1 || return 1
  rm -rf "$work"
  root=$destination/root
  libraries=$(find "$root" -name '*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
  # fontconfig looks for its settings in /etc, where nothing was installed.
  cat > "$destination/fonts.conf" <<END
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>$root/usr/share/fonts</dir>
  <cachedir>$destination/fonts-cache</cachedir>
</fontconfig>
END
  write_program "$root/usr/lib/chromium/chromium" \
    "export LD_LIBRARY_PATH=\"$libraries\" FONTCONFIG_FILE=\"$destination/fonts.conf\""
}

from_machine || from_debian || {
  echo "no Chromium: none is installed, and Debian's package could not be unpacked (see" \
    "$destination/log); install one, and run this again" >&2
  exit 1
}
