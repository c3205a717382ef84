#!/usr/bin/env bash
# cuda-toolchain.sh [DIR] [lite|full|check] [--real-libs]
#
# Makes a CUDA_HOME under DIR (default: .cuda) out of pip wheels, enough to BUILD a candle 0.11 / cudarc 0.19
# program with its `cuda` feature on a machine with no GPU and no CUDA, and prints the export lines to eval:
#     x=$(.ci/cuda-toolchain.sh .cuda lite) && eval "$x"  # all chatter goes to stderr
#
#   lite   (default) real nvcc for the PTX kernels; candle's GGUF/MoE CUDA kernels become stubs that fail when
#          called (they are 97% of the compile time; plain f32/f16/bf16 tensors never call them).
#   full   real nvcc for everything.
#   check  nothing is downloaded and nothing CUDA is compiled: `cargo check|clippy|test --features cuda` work, the
#          program runs on the CPU only. For a CI without the toolchain.
#   --real-libs  link straight against the vendor's .so files (600 MB more) instead of the lazy shims: then
#          the program needs all of them, and libcuda.so.1, just to start.
#
# The lazy shims: DIR/MODE/lib64/lib{cuda,nvrtc,curand,cublas,cublasLt}.a hold one trampoline per function that
# cudarc declares. The first call dlopen()s the real library; where there is none the call returns an error code.
# So ONE binary starts everywhere and `Device::new_cuda(0)` is an Err on a machine with no driver.
# Run time: the real libraries are looked for in the folders of $CUDA_SHIM_LIBS (colon-separated; when unset, by
# plain name, so LD_LIBRARY_PATH and ld.so.conf count), libcuda.so.1 by plain name first.
#
# Each mode has its own CUDA_HOME; after changing the mode run `cargo clean -p candle-kernels` (and --release):
# its build cache does not look at which nvcc made its objects.
#
# Needs: bash, python3 with pip (not for check), gcc, ar, awk, and cudarc's source in cargo's registry (it is fetched
# with cargo where missing). Running it twice is cheap. Env: CUDA_COMPUTE_CAP (90), CUDARC_SRC, PYTHON, CC.
set -euo pipefail

die() { echo "cuda-toolchain: $*" >&2; exit 1; }
say() { echo "cuda-toolchain: $*" >&2; }

DIR=.cuda MODE=lite REAL=0 pos=0
for a in "$@"; do
  case $a in
    --real-libs) REAL=1 ;;
    -h|--help) sed -n '2,26p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) die "unknown option $a" ;;
    *) pos=$((pos + 1)); case $pos in 1) DIR=$a ;; 2) MODE=$a ;; *) die "too many arguments" ;; esac ;;
  esac
done
case $MODE in lite|full|check) ;; *) die "mode is lite, full or check, not '$MODE'" ;; esac
[ "$MODE" = check ] && [ $REAL = 1 ] && die "check downloads nothing: no --real-libs"
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "only Linux on x86-64"

PY=${PYTHON:-python3} CC=${CC:-gcc} CAP=${CUDA_COMPUTE_CAP:-90}
for t in "$CC" ar awk; do command -v "$t" >/dev/null || die "$t is missing"; done
mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
HOME_=$DIR/$MODE; [ $REAL = 0 ] || HOME_=$HOME_-real
WHEELS=$DIR/wheels
TREE=$WHEELS/base/nvidia/cu13      # where the cu13 wheels put bin/ include/ lib/ nvvm/
mkdir -p "$HOME_/bin" "$HOME_/lib64"

# Another run in the same DIR waits here.
exec 9>"$DIR/.lock"; command -v flock >/dev/null && flock 9

# ---- 1. the compiler, from wheels -------------------------------------------------------------------------------
BASE=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
      nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
LIBS=(nvidia-cuda-nvrtc==13.0.88 nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35)
wheels() { # SET FILE PACKAGE…: install once into $WHEELS/SET (one pip call each: a second one into the same --target
           # would drop the first one's nvidia/ folder)
  local set=$WHEELS/$1 file=nvidia/cu13/$2; shift 2
  if [ "$(cat "$set/.ok" 2>/dev/null)" = "$*" ] && [ -e "$set/$file" ]; then return; fi
  "$PY" -m pip --version >/dev/null 2>&1 || die "$PY has no pip (PYTHON=… names another interpreter)"
  say "pip install $*"
  rm -rf "$set.new"; mkdir -p "$set.new"
  "$PY" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps \
    --only-binary=:all: --target "$set.new" "$@" >&2 || die "pip install failed"
  [ -e "$set.new/$file" ] || die "the wheels' layout changed: no $file"
  echo "$*" >"$set.new/.ok"
  rm -rf "$set"; mv "$set.new" "$set"
}
if [ "$MODE" != check ]; then
  wheels base bin/nvcc "${BASE[@]}"
  [ -x "$TREE/nvvm/bin/cicc" ] || die "no cicc in the wheels"
  [ -e "$TREE/lib64" ] || ln -s lib "$TREE/lib64"
  for d in include nvvm; do ln -sfn "../wheels/base/nvidia/cu13/$d" "$HOME_/$d"; done
fi

# ---- 2. bin/nvcc ------------------------------------------------------------------------------------------------
write() { # FILE < text: replace only when different, in one step (a build may be using it)
  local tmp; tmp=$(mktemp "$1.XXXXXX"); sed "s/@MODE@/$MODE/" >"$tmp"; chmod 755 "$tmp"
  if cmp -s "$tmp" "$1"; then rm -f "$tmp"; else mv -f "$tmp" "$1"; fi
}
write "$HOME_/bin/nvcc" <<'NVCC'
#!/usr/bin/env bash
# nvcc for cargo builds; written by cuda-toolchain.sh.
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
mode=@MODE@
real=$here/../../wheels/base/nvidia/cu13/bin/nvcc
out='' src='' kind='' outdir='' prev=''
for a in "$@"; do
  case $prev in -o) out=$a ;; --output-directory) outdir=$a ;; esac
  case $a in --ptx|-ptx) kind=ptx ;; -c) kind=obj ;; --lib|-lib) kind=lib ;; *.cu) src=$a ;; esac
  prev=$a
done
stub=0
case $mode in
  check) stub=1 ;;
  lite) case ${CARGO_PKG_NAME:-}:$kind:$src in
          candle-kernels:obj:*/moe_*.cu|candle-kernels:obj:*/mm*_gguf*|candle-kernels:ptx:*/quantized.cu) stub=1 ;;
        esac ;;
esac
if [ $stub = 1 ]; then
  case $kind in
    ptx) [ -n "$out" ] || out=$outdir/$(basename "${src%.cu}").ptx
         printf '// placeholder: built without a CUDA compiler\n' >"$out"; exit ;;
    obj) # one object carries an aborting stub for every launcher in candle-kernels' ffi.rs, the others are empty
         c=$(mktemp --suffix=.c) || exit 1
         case $src in
           */moe/moe_gguf.cu)
             printf '#include <stdio.h>\n#include <stdlib.h>\n#define S(n) void n(void) { fputs("stubbed CUDA kernel called: " #n " (cuda-toolchain.sh: build with mode full)\\n", stderr); abort(); }\n' >"$c"
             sed -n 's/^ *pub fn \([A-Za-z0-9_]*\).*/S(\1)/p' src/ffi.rs >>"$c" ;;
           *) echo 'typedef int empty_unit;' >"$c" ;;
         esac
         ${CC:-cc} -O1 -fPIC -c -o "$out" "$c"; rc=$?; rm -f "$c"; exit $rc ;;
  esac
  case " $* " in *" --version "*|*" -V "*)
    printf 'nvcc: placeholder (cuda-toolchain.sh check)\n-\n-\nCuda compilation tools, release 13.0, V13.0.88\n'; exit ;;
  esac
fi
if [ $mode != full ] && [ "$kind" = lib ]; then # stub objects hold no device code: plain ar
  objs=(); for a in "$@"; do case $a in *.o) objs+=("$a") ;; esac; done
  rm -f "$out"; exec ar crs "$out" "${objs[@]}"
fi
[ -x "$real" ] || { echo "nvcc: $real is missing (cuda-toolchain.sh lite|full makes it)" >&2; exit 1; }
exec "$real" "$@"
NVCC

# ---- 3. what the linker finds for -lcuda -lnvrtc -lcurand -lcublas -lcublasLt -lcudart ---------------------------
LIB=$HOME_/lib64
cudarc_src() {
  local c h=${CARGO_HOME:-$HOME/.cargo}
  if [ -n "${CUDARC_SRC:-}" ]; then echo "$CUDARC_SRC"; return; fi
  c=$(ls -d "$h"/registry/src/*/cudarc-0.19.*/ 2>/dev/null | sort -V | tail -1 || true)
  if [ -z "$c" ]; then
    command -v cargo >/dev/null || die "no cudarc source and no cargo to fetch it (CUDARC_SRC=… names it)"
    local t; t=$(mktemp -d); mkdir "$t/src"; : >"$t/src/lib.rs"
    printf '[package]\nname = "f"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\ncudarc = { version = "0.19", default-features = false }\n[workspace]\n' >"$t/Cargo.toml"
    (cd "$t" && cargo fetch >&2) || die "cargo could not fetch cudarc"
    rm -rf "$t"
    c=$(ls -d "$h"/registry/src/*/cudarc-0.19.*/ 2>/dev/null | sort -V | tail -1 || true)
  fi
  [ -n "$c" ] || die "cudarc's source was not found (CUDARC_SRC=… names it)"
  echo "${c%/}"
}
shim() { # LINKNAME MODULE ERRORCODE SONAME…
  local name=$1 mod=$2 err=$3 syms=$WORK/$1.syms; shift 3
  awk '/extern "C" \{/ {f=1; next}
       f {if (match($0, /fn +[A-Za-z_0-9]+/)) print substr($0, RSTART+3, RLENGTH-3); f=0}' \
    "$SRC/src/$mod/sys/mod.rs" | tr -d ' ' | sort -u >"$syms"
  [ -s "$syms" ] || die "no functions found in cudarc's $mod/sys/mod.rs"
  local quoted='' s; for s in "$@"; do quoted+="\"$s\", "; done
  {
    printf '#define NAMES %s 0\n#define ERR %s\n#define IS_CUDA %d\n#define NFN %d\n' \
      "$quoted" "$err" "$([ "$name" = cuda ] && echo 1 || echo 0)" "$(wc -l <"$syms")"
    echo 'static const char *const fn_name[] = {'; sed 's/.*/"&",/' "$syms"; echo '};'
    cat "$WORK/shim.c"
    echo '__asm__(".text\n"'
    awk -v l="$name" '{i=NR-1; printf "\".globl %s\\n.hidden %s\\n.type %s,@function\\n.p2align 4\\n%s: jmp *shim_%s_slot+%d(%%rip)\\n1: movl $%d,%%r11d\\n jmp shim_%s_enter\\n.size %s,.-%s\\n\"\n", $1,$1,$1,$1,l,8*i,i,l,$1,$1;
      printf "\".pushsection .data.rel.local,\\\"aw\\\",@progbits\\n.quad 1b\\n.popsection\\n\"\n"}' "$syms"
    echo ');'
  } | sed "s/@LIB@/$name/g" >"$WORK/$name.c"
  "$CC" -O2 -fPIC -fvisibility=hidden -Wall -c "$WORK/$name.c" -o "$WORK/$name.o" || die "shim $name did not compile"
  rm -f "$LIB/lib$name.a"; ar crs "$LIB/lib$name.a" "$WORK/$name.o"
}
if [ $REAL = 1 ]; then
  wheels libs lib/libcublas.so.13 "${LIBS[@]}"
  for f in "$TREE"/lib/*.so.* "$WHEELS"/libs/nvidia/cu13/lib/*.so.*; do
    b=$(basename "$f"); case $b in *.alt.so*) continue ;; esac
    ln -sfn "$f" "$LIB/$b"; ln -sfn "$b" "$LIB/${b%%.so.*}.so"
  done
fi
SRC=$(cudarc_src)
STAMP="1 $MODE $REAL $(basename "$SRC")"
if [ "$(cat "$LIB/.shim" 2>/dev/null)" != "$STAMP" ]; then
  WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
  say "link libraries for $(basename "$SRC")"
  cat >"$WORK/shim.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* The table's contents are the .quad lines below: slot i first points at trampoline i's slow path. */
__asm__(".pushsection .data.rel.local,\"aw\",@progbits\n.p2align 3\nshim_@LIB@_slot:\n.popsection\n");
extern void *shim_@LIB@_slot[];
static long fail_code(void) { return ERR; }
static const char *fail_text(void) { return "CUDA library not found"; }
static void *try_open(const char *dir, int n, const char *name) {
  char p[4096];
  if (n <= 0 || (size_t)snprintf(p, sizeof p, "%.*s/%s", n, dir, name) >= sizeof p) return 0;
  if (!strncmp(name, "libnvrtc.so", 11)) { /* nvrtc opens its builtins by plain name: have them loaded already */
    char q[4096];
    if ((size_t)snprintf(q, sizeof q, "%.*s/libnvrtc-builtins.so.%s.0", n, dir, name + 12) < sizeof q) dlopen(q, RTLD_NOW);
  }
  return dlopen(p, RTLD_LAZY);
}
static void *open_lib(void) {
  static const char *const names[] = {NAMES};
  const char *dirs = getenv("CUDA_SHIM_LIBS"), *off = getenv("CUDA_SHIM_OFF");
  void *h = 0;
  if (off && *off && *off != '0') return 0; /* CUDA_SHIM_OFF=1: as on a machine with no CUDA */
  for (int pass = 0; pass < 2 && !h; pass++)
    for (int i = 0; names[i] && !h; i++) {
      if (pass == (IS_CUDA ? 0 : 1)) { h = dlopen(names[i], RTLD_LAZY); continue; }
      for (const char *d = dirs; d && *d && !h;) {
        const char *e = strchrnul(d, ':');
        h = try_open(d, (int)(e - d), names[i]);
        d = *e ? e + 1 : e;
      }
    }
  if (getenv("CUDA_SHIM_VERBOSE")) fprintf(stderr, "cuda shim: %s %s\n", names[0], h ? "loaded" : dlerror());
  return h;
}
__attribute__((used)) void *shim_@LIB@_resolve(unsigned i) {
  static void *lib; static int tried;
  if (!__atomic_load_n(&tried, __ATOMIC_ACQUIRE)) { /* a race opens it twice: harmless, dlopen counts */
    void *h = open_lib();
    if (h) __atomic_store_n(&lib, h, __ATOMIC_RELEASE);
    __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
  }
  void *h = __atomic_load_n(&lib, __ATOMIC_ACQUIRE), *f = h ? dlsym(h, fn_name[i]) : 0;
  if (!f) {
    if (h) fprintf(stderr, "cuda shim: no %s in the library that was loaded\n", fn_name[i]);
    f = strstr(fn_name[i], "GetStatusName") || strstr(fn_name[i], "GetStatusString") || !strcmp(fn_name[i], "nvrtcGetErrorString")
            ? (void *)fail_text : (void *)fail_code;
  }
  __atomic_store_n(&shim_@LIB@_slot[i], f, __ATOMIC_RELEASE);
  return f;
}
/* Slow path: index in r11d; keep every argument register, resolve, go on to the real function. */
__asm__(".text\n.type shim_@LIB@_enter,@function\nshim_@LIB@_enter:\n"
  ".cfi_startproc\n pushq %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6,-16\n movq %rsp,%rbp\n.cfi_def_cfa_register 6\n"
  " andq $-16,%rsp\n subq $192,%rsp\n"
  " movq %rdi,0(%rsp)\n movq %rsi,8(%rsp)\n movq %rdx,16(%rsp)\n movq %rcx,24(%rsp)\n movq %r8,32(%rsp)\n movq %r9,40(%rsp)\n movq %rax,48(%rsp)\n movq %r10,56(%rsp)\n"
  " movaps %xmm0,64(%rsp)\n movaps %xmm1,80(%rsp)\n movaps %xmm2,96(%rsp)\n movaps %xmm3,112(%rsp)\n movaps %xmm4,128(%rsp)\n movaps %xmm5,144(%rsp)\n movaps %xmm6,160(%rsp)\n movaps %xmm7,176(%rsp)\n"
  " movl %r11d,%edi\n call shim_@LIB@_resolve\n movq %rax,%r11\n"
  " movq 0(%rsp),%rdi\n movq 8(%rsp),%rsi\n movq 16(%rsp),%rdx\n movq 24(%rsp),%rcx\n movq 32(%rsp),%r8\n movq 40(%rsp),%r9\n movq 48(%rsp),%rax\n movq 56(%rsp),%r10\n"
  " movaps 64(%rsp),%xmm0\n movaps 80(%rsp),%xmm1\n movaps 96(%rsp),%xmm2\n movaps 112(%rsp),%xmm3\n movaps 128(%rsp),%xmm4\n movaps 144(%rsp),%xmm5\n movaps 160(%rsp),%xmm6\n movaps 176(%rsp),%xmm7\n"
  " movq %rbp,%rsp\n popq %rbp\n.cfi_def_cfa 7,8\n jmp *%r11\n.cfi_endproc\n.size shim_@LIB@_enter,.-shim_@LIB@_enter\n");
C
  if [ $REAL = 1 ]; then # only the driver is not in the wheels: an empty shared object with its functions' names
    awk '/extern "C" \{/ {f=1; next} f {if (match($0, /fn +[A-Za-z_0-9]+/)) print "void " substr($0, RSTART+3, RLENGTH-3) "(void){}"; f=0}' \
      "$SRC/src/driver/sys/mod.rs" | sort -u >"$WORK/stub.c"
    mkdir -p "$LIB/stubs"
    "$CC" -shared -fPIC -fno-builtin -w -Wl,-soname,libcuda.so.1 "$WORK/stub.c" -o "$LIB/stubs/libcuda.so"
  else
    shim cuda     driver   100 libcuda.so.1      # CUDA_ERROR_NO_DEVICE
    shim nvrtc    nvrtc    11  libnvrtc.so.13    # NVRTC_ERROR_INTERNAL_ERROR
    shim curand   curand   203 libcurand.so.10   # CURAND_STATUS_INITIALIZATION_FAILED
    shim cublas   cublas   1   libcublas.so.13   # CUBLAS_STATUS_NOT_INITIALIZED
    shim cublasLt cublaslt 1   libcublasLt.so.13
    # the runtime library: the wheel's static one (it finds the driver by itself, when first used)
    if [ "$MODE" = check ]; then rm -f "$LIB/libcudart.a"; ar crs "$LIB/libcudart.a"
    else cp -f "$TREE/lib/libcudart_static.a" "$LIB/libcudart.a"; fi
  fi
  echo "$STAMP" >"$LIB/.shim"
fi

# ---- 4. a compile, to be sure -----------------------------------------------------------------------------------
if [ "$MODE" != check ] && [ "$(cat "$HOME_/.tested" 2>/dev/null)" != "$CAP" ]; then
  T=$(mktemp -d)
  printf '#include <cuda_fp16.h>\n#include <cub/cub.cuh>\nextern "C" __global__ void k(__half *x) { x[threadIdx.x] = __float2half(2.f); }\n' >"$T/k.cu"
  "$HOME_/bin/nvcc" -arch="compute_$CAP" --ptx -std=c++17 -o "$T/k.ptx" "$T/k.cu" >&2 || { rm -rf "$T"; die "nvcc does not compile here: is the host compiler newer than it supports? NVCC_CCBIN / NVCC_PREPEND_FLAGS='-ccbin …' name another"; }
  rm -rf "$T"; echo "$CAP" >"$HOME_/.tested"
fi
say "ready: $MODE, $(du -sh "$DIR" | cut -f1) in $DIR"
cat <<OUT
export CUDA_HOME='$HOME_' CUDA_PATH='$HOME_' NVCC='$HOME_/bin/nvcc'
export CUDA_COMPUTE_CAP='$CAP' CUDARC_CUDA_VERSION=13000
export PATH="$HOME_/bin:\$PATH"
OUT
