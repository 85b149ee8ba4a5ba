/* Which instruction sets this machine and its system offer, as levels.
 *
 * One source of kernels is compiled once per level; a table of function pointers is filled at
 * import. A level is a floor: whoever has AVX512 has AVX2. Every level above GENERIC means that the
 * CPU has the instructions and that the system saves the registers they use.
 *
 *   GENERIC  what the compiler may use anyway: SSE2 on x86-64, NEON on AArch64, plain C elsewhere
 *   AVX2     AVX2, FMA, F16C, POPCNT
 *   AVX512   F, BW, VL, DQ and VNNI, VPOPCNTDQ (Ice Lake, Zen 4, and later)
 *   AMX      the encoder's products in bfloat16 tiles (amx.h), all else as AVX512 (Sapphire Rapids and later)
 */
#ifndef MIMO_ISA_H
#define MIMO_ISA_H

#if defined(__x86_64__) || defined(_M_X64)
#define MIMO_X86 1
#include <cpuid.h>
#else
#define MIMO_X86 0
#endif

enum mimo_level { MIMO_GENERIC = 0, MIMO_AVX2 = 1, MIMO_AVX512 = 2, MIMO_AMX = 3, MIMO_LEVELS = 4 };

static inline const char *mimo_level_name(int level) {
    switch (level) {
    case MIMO_AMX: return "amx";
    case MIMO_AVX512: return "avx512";
    case MIMO_AVX2: return "avx2";
#if MIMO_X86
    default: return "sse2";
#elif defined(__aarch64__)
    default: return "neon";
#else
    default: return "generic";
#endif
    }
}

#if MIMO_X86
/* What the system saves on a switch of threads (XCR0); 0 where it does not say. */
static inline unsigned mimo_saved_registers(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) return 0; /* no OSXSAVE */
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}
#endif

/* The highest level but AMX, which has to be asked for. */
static inline int mimo_vector_level(void) {
#if MIMO_X86
    const unsigned ymm = 0x06, zmm = 0xe6;
    unsigned saved = mimo_saved_registers();
    unsigned a, b, c, d;
    __builtin_cpu_init();
    int f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 29)); /* gcc < 11 has no name for it */
    if ((saved & ymm) != ymm || !f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")
        || !__builtin_cpu_supports("popcnt"))
        return MIMO_GENERIC;
    if ((saved & zmm) != zmm || !__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vpopcntdq"))
        return MIMO_AVX2;
    return MIMO_AVX512;
#else
    return MIMO_GENERIC;
#endif
}

#endif
