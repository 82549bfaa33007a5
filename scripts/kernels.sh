#!/bin/bash
# Runs the caching allocator for CPU tensors (crates/c10d/csrc/allocator.cpp) on other kernels, in
# virtual machines: its stress program (crates/c10d/tests/support/allocator_stress.cpp) under
# usual settings, vm.overcommit_memory=2, a low vm.max_map_count and huge pages everywhere.
#
#   scripts/kernels.sh                           Debian's kernels of the two packages below
#   scripts/kernels.sh PACKAGE|VMLINUZ...        these; a package may be a meta-package
#   scripts/kernels.sh --source FILE [...]       another allocator.cpp
#
# Needs Debian or Ubuntu on x86-64 with the packages qemu-system-x86 and cpio, a C++ compiler and
# the libtorch of scripts/setup.sh. Kernels and busybox are downloaded by apt-get by name, into
# target/kernels, and neither installed nor run outside of the virtual machine. The machine is
# emulated (a minute a kernel on an idle core, at most 20), or run by KVM with ACCEL=kvm.
#
# Exit code 0: passed on every kernel; 1: failed on one; 2: it could not be tried.
set -euo pipefail
self=${BASH_SOURCE[0]}
if [[ $self != */* ]]; then self=./$self; fi
. "${self%/*}/common.sh"
packages=(linux-image-cloud-amd64 linux-image-6.12-cloud-amd64)
source=$root/crates/c10d/csrc/allocator.cpp

kernels=()
while (($# > 0)); do
  case $1 in
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;;
    --source) source=${2:?--source needs a file}; shift 2 ;;
    *) kernels+=("$1"); shift ;;
  esac
done
((${#kernels[@]} > 0)) || kernels=("${packages[@]}")

fail() { echo "kernels.sh: $*" >&2; exit 2; }
for tool in qemu-system-x86_64 cpio c++ apt-get dpkg; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install qemu-system-x86 cpio g++"
done
exports=$("$root/scripts/setup.sh" --env)
eval "$exports"
libtorch=${LIBTORCH:-$root/.libtorch}
work=${CARGO_TARGET_DIR:-$root/target}/kernels
mkdir -p "$work"

# The files of a Debian package, in a folder of its own below $work.
unpack() {
  local folder=$work/$1
  [[ -d $folder ]] && return
  (cd "$work" && rm -f ./"$1"_*.deb && apt-get download -q "$1" >&2) || fail "no package $1"
  rm -rf "$folder.new" && dpkg -x "$work/$1"_*.deb "$folder.new" && mv "$folder.new" "$folder"
}

# The path of the kernel of a file, a package, or the package that a meta-package stands for.
kernel_of() {
  if [[ -f $1 ]]; then echo "$1"; return; fi
  unpack "$1"
  if ! compgen -G "$work/$1/boot/vmlinuz-*" >/dev/null; then
    local real
    real=$(apt-cache depends "$1" | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1)
    [[ -n $real ]] || fail "$1 holds no kernel"
    unpack "$real"
    set -- "$real"
  fi
  echo "$work/$1/boot/"vmlinuz-*
}

# What runs there: the program, its libraries, busybox, and a first process.
image=$work/image
rm -rf "$image" && mkdir -p "$image"/{bin,dev,proc,sys,tmp}
c++ -std=c++20 -O1 -isystem "$libtorch/include" -I "$root/crates/c10d/csrc" \
  "$root/crates/c10d/tests/support/allocator_stress.cpp" "$source" \
  -L"$libtorch/lib" -Wl,-rpath,"$libtorch/lib" -lc10 -lpthread -o "$image/bin/stress"
ldd "$image/bin/stress" | grep -o '/[^ ]*' | while read -r library; do
  install -D "$library" "$image/$library"
done
unpack busybox-static
cp "$work/busybox-static/bin/busybox" "$image/bin/"
cat >"$image/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
echo # The console starts with codes of its own.
stress() {
  local name=$1; shift
  echo "RUN $name"
  timeout 300 /bin/stress "$@"
  echo "CODE $?"
}
stress "usual settings" 60 2 60
stress "ulimit -v, enough for what is in use" 60 2 60 220
stress "ulimit -v, too little" 60 2 60 100
echo 300 >/proc/sys/vm/max_map_count
stress "vm.max_map_count=300" 60 2 60
echo 65530 >/proc/sys/vm/max_map_count
echo always >/sys/kernel/mm/transparent_hugepage/enabled
stress "huge pages always" 60 2 60
# Enough for what is in use and the threads' stacks.
echo 0 >/proc/sys/vm/user_reserve_kbytes
echo 0 >/proc/sys/vm/admin_reserve_kbytes
promised=$(sed -n 's/Committed_AS: *\([0-9]*\) kB/\1/p' /proc/meminfo)
echo $((promised + 190 * 1024)) >/proc/sys/vm/overcommit_kbytes
echo 2 >/proc/sys/vm/overcommit_memory
stress "vm.overcommit_memory=2" 60 2 60 0 0
echo DONE
poweroff -f
INIT
chmod +x "$image/init"
(cd "$image" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/image.gz"

worst=0
for name in "${kernels[@]}"; do
  kernel=$(kernel_of "$name")
  echo "== ${kernel##*/}"
  began=$SECONDS
  timeout 1200 qemu-system-x86_64 -machine accel="${ACCEL:-tcg}" -cpu max -smp 2 -m 1024 -nographic \
    -no-reboot -nic none -kernel "$kernel" -initrd "$work/image.gz" \
    -append "console=ttyS0 quiet panic=-1 no_timer_check" </dev/null >"$work/log" 2>"$work/errors" || true
  tr -d '\r' <"$work/log" | grep -aE '^(RUN|CODE|DONE|passed|FAILED)|segfault' || true
  # Every run must have ended well; what is refused where there is enough is a failure, too.
  tr -d '\r' <"$work/log" | awk '
    /^RUN / { name = $0; runs++ }
    /^passed/ { if (name !~ /too little/ && $0 !~ / 0 refused/) bad++ }
    /^CODE / { if ($2 != 0) bad++ }
    /^DONE/ { done = 1 }
    END { exit !(done && runs == 6 && !bad) }' && result=passed || { result=FAILED; worst=1; }
  echo "$result: ${kernel##*/} ($((SECONDS - began)) s)"
done
exit "$worst"
