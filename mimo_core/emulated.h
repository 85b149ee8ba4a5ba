/* MIMO_EMULATE compiles the AVX-512 and AMX kernels for machines without them: slow, for tests. SIMDe does
 * what the AVX-512 instructions do that we use; emulated_tiles.h has AMX's. */
#ifndef MIMO_EMULATED_H
#define MIMO_EMULATED_H

#include <simde/x86/avx512.h>

#define __m512i simde__m512i
#define _mm512_setzero_si512 simde_mm512_setzero_si512
#define _mm512_set1_epi8 simde_mm512_set1_epi8
#define _mm512_set1_epi64 simde_mm512_set1_epi64
#define _mm512_loadu_si512 simde_mm512_loadu_si512
#define _mm512_storeu_si512 simde_mm512_storeu_si512
#define _mm512_xor_si512 simde_mm512_xor_si512
#define _mm512_add_epi64 simde_mm512_add_epi64
#define _mm512_dpbusd_epi32 simde_mm512_dpbusd_epi32
#define _mm512_popcnt_epi64 simde_mm512_popcnt_epi64
#define _mm512_cmple_epi64_mask simde_mm512_cmple_epi64_mask

#endif
