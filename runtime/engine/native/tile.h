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

// out[m][...] += sum over i of a[m][i] * b(i)[...], for ROWS rows of VECS vectors. Each sum runs in
// the order of i, whatever its place in the tile.
template <int ROWS, int VECS, typename B>
inline void accumulate(const float* a, int64_t a_row, int64_t count, const B& b, float* out,
                       int64_t out_row) {
    Vec sums[ROWS][VECS];
#pragma GCC unroll 6
    for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 4
        for (int v = 0; v < VECS; ++v) sums[m][v] = load(out + m * out_row + v * kLanes);
    for (int64_t i = 0; i < count; ++i) {
        const float* from = b(i);
        Vec parts[VECS];
#pragma GCC unroll 4
        for (int v = 0; v < VECS; ++v) parts[v] = load(from + v * kLanes);
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

template <int ROWS, typename B>
inline void accumulate_rows(int64_t vecs, const float* a, int64_t a_row, int64_t count, const B& b,
                            float* out, int64_t out_row) {
    switch (vecs) {
        case 1: return accumulate<ROWS, 1>(a, a_row, count, b, out, out_row);
        case 2: return accumulate<ROWS, 2>(a, a_row, count, b, out, out_row);
        case 3: return accumulate<ROWS, 3>(a, a_row, count, b, out, out_row);
        default: return accumulate<ROWS, 4>(a, a_row, count, b, out, out_row);
    }
}

// As ``accumulate`` for up to kTileHeight rows and kTileVecs vectors.
template <typename B>
inline void accumulate_tile(int64_t rows, int64_t vecs, const float* a, int64_t a_row,
                            int64_t count, const B& b, float* out, int64_t out_row) {
    switch (rows) {
        case 1: return accumulate_rows<1>(vecs, a, a_row, count, b, out, out_row);
#ifdef __AVX512F__
        case 2: return accumulate_rows<2>(vecs, a, a_row, count, b, out, out_row);
        case 3: return accumulate_rows<3>(vecs, a, a_row, count, b, out, out_row);
        case 4: return accumulate_rows<4>(vecs, a, a_row, count, b, out, out_row);
        case 5: return accumulate_rows<5>(vecs, a, a_row, count, b, out, out_row);
        case 6: return accumulate_rows<6>(vecs, a, a_row, count, b, out, out_row);
#endif
    }
}

// to[i * to_row + j] = element i of column j, of sixteen columns of sixteen.
inline void transpose(Vec* columns, float* to, int64_t to_row) {
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
        store(to + e * to_row, __builtin_shuffle(left_even, right_even, even));
        store(to + (4 + e) * to_row, __builtin_shuffle(left_odd, right_odd, even));
        store(to + (8 + e) * to_row, __builtin_shuffle(left_even, right_even, odd));
        store(to + (12 + e) * to_row, __builtin_shuffle(left_odd, right_odd, odd));
    }
}

}  // namespace weft
