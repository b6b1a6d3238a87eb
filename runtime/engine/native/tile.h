// Small dense products and transpositions that keep their sums in registers.
#pragma once

#include "vectors.h"

namespace weft {

#ifdef __AVX512F__
constexpr int kTileHeight = 6;
#else
constexpr int kTileHeight = 1;
#endif
constexpr int kTileVecs = 4;
constexpr int64_t kTileWidth = kTileVecs * kLanes;

// out[m][...] += or, with FRESH, = the sum over i of a[m][i] * b(i, ...), for ROWS rows of VECS
// vectors: b(i, d) are the elements d ... d + 15 of row i. Each sum runs in the order of i,
// whatever its place in the tile.
template <bool FRESH, int ROWS, int VECS, typename B>
inline void accumulate(const float* a, int64_t a_row, int64_t count, const B& b, float* out,
                       int64_t out_row) {
    Vec sums[ROWS][VECS];
#pragma GCC unroll 6
    for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 4
        for (int v = 0; v < VECS; ++v)
            sums[m][v] = FRESH ? Vec{} : load(out + m * out_row + v * kLanes);
    for (int64_t i = 0; i < count; ++i) {
        Vec parts[VECS];
#pragma GCC unroll 4
        for (int v = 0; v < VECS; ++v) parts[v] = b(i, v * kLanes);
#pragma GCC unroll 6
        for (int m = 0; m < ROWS; ++m) {
            const Vec value = all(a[m * a_row + i]);
#pragma GCC unroll 4
            for (int v = 0; v < VECS; ++v) sums[m][v] += value * parts[v];
        }
    }
#pragma GCC unroll 6
    for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 4
        for (int v = 0; v < VECS; ++v) store(out + m * out_row + v * kLanes, sums[m][v]);
}

template <bool FRESH, int ROWS, typename B>
inline void accumulate_rows(int64_t vecs, const float* a, int64_t a_row, int64_t count, const B& b,
                            float* out, int64_t out_row) {
    switch (vecs) {
        case 1: return accumulate<FRESH, ROWS, 1>(a, a_row, count, b, out, out_row);
        case 2: return accumulate<FRESH, ROWS, 2>(a, a_row, count, b, out, out_row);
        case 3: return accumulate<FRESH, ROWS, 3>(a, a_row, count, b, out, out_row);
        default: return accumulate<FRESH, ROWS, 4>(a, a_row, count, b, out, out_row);
    }
}

// As ``accumulate`` for up to kTileHeight rows and kTileVecs vectors.
template <bool FRESH, typename B>
inline void accumulate_tile(int64_t rows, int64_t vecs, const float* a, int64_t a_row,
                            int64_t count, const B& b, float* out, int64_t out_row) {
    switch (rows) {
#define WEFT_CASE(R) \
    case R: return accumulate_rows<FRESH, R>(vecs, a, a_row, count, b, out, out_row);
        WEFT_CASE(1)
#ifdef __AVX512F__
        WEFT_CASE(2) WEFT_CASE(3) WEFT_CASE(4) WEFT_CASE(5) WEFT_CASE(6)
#endif
#undef WEFT_CASE
    }
}

// keep(i, v): v[j] is element i of column j, of sixteen columns of sixteen.
template <typename Keep>
inline void transpose(Vec* columns, const Keep& keep) {
    constexpr IntVec low1{0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29};
    constexpr IntVec high1{2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31};
    constexpr IntVec low2{0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29};
    constexpr IntVec high2{2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31};
    constexpr IntVec even{0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27};
    constexpr IntVec odd{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31};
    Vec a[16], b[16];
    // Within quarters: columns 4 q ... 4 q + 3 become their elements 0 ... 3 of every quarter.
    for (int q = 0; q < 16; q += 4) {
        for (int half = 0; half < 4; half += 2) {
            a[q + half] = __builtin_shuffle(columns[q + half], columns[q + half + 1], low1);
            a[q + half + 1] = __builtin_shuffle(columns[q + half], columns[q + half + 1], high1);
        }
        b[q] = __builtin_shuffle(a[q], a[q + 2], low2);
        b[q + 1] = __builtin_shuffle(a[q], a[q + 2], high2);
        b[q + 2] = __builtin_shuffle(a[q + 1], a[q + 3], low2);
        b[q + 3] = __builtin_shuffle(a[q + 1], a[q + 3], high2);
    }
    // Then the quarters themselves: element e of quarter h belongs to row 4 h + e.
    for (int e = 0; e < 4; ++e) {
        const Vec left_even = __builtin_shuffle(b[e], b[4 + e], even);
        const Vec left_odd = __builtin_shuffle(b[e], b[4 + e], odd);
        const Vec right_even = __builtin_shuffle(b[8 + e], b[12 + e], even);
        const Vec right_odd = __builtin_shuffle(b[8 + e], b[12 + e], odd);
        keep(e, __builtin_shuffle(left_even, right_even, even));
        keep(4 + e, __builtin_shuffle(left_odd, right_odd, even));
        keep(8 + e, __builtin_shuffle(left_even, right_even, odd));
        keep(12 + e, __builtin_shuffle(left_odd, right_odd, odd));
    }
}

}  // namespace weft
