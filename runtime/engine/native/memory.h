// Keys and values where they lie: a row of D values for every slot and key-value head.
//
// Rows of 8 bits have a scale each, that of their own largest value. A scale for a whole block
// would change while the block fills, and a token's bits with it.
#pragma once

#include <cmath>
#include <type_traits>

#include "vectors.h"

namespace weft {

constexpr int64_t kLine = 64;  // bytes that come at once

typedef int8_t Bytes __attribute__((vector_size(16), aligned(1), may_alias));
typedef int16_t Words __attribute__((vector_size(32)));

inline Vec load(const int8_t* from) {
    const Bytes bytes = *reinterpret_cast<const Bytes*>(from);
#ifdef __AVX512F__  // one instruction, which compilers do not find by themselves
    const auto wide = (IntVec)_mm512_cvtepi8_epi32((__m128i)bytes);
#else
    const auto wide = __builtin_convertvector(__builtin_convertvector(bytes, Words), IntVec);
#endif
    return __builtin_convertvector(wide, Vec);
}

// Rounds numbers of -127 ... 127 to nearest.
inline void store(int8_t* to, Vec value) {
    const float rounder = 12582912.f;  // 1.5 * 2^23: leaves the integer in the low bits
    const auto wide = (IntVec)(value + rounder);
    *reinterpret_cast<Bytes*>(to) =
        __builtin_convertvector(__builtin_convertvector(wide, Words), Bytes);
}

// One row, read as floats.
template <typename T>
struct Row {
    const T* values;
    float scale;  // of rows of 8 bits alone

    Vec at(int64_t d) const {
        if constexpr (std::is_same_v<T, int8_t>)
            return load(values + d) * scale;
        else
            return load(values + d);
    }
};

// Rounds to -127 ... 127 and returns what 1 stands for: 0 for a row of zeros, no number for a row
// with a value that is none or infinite, so that all it gives is NaN.
inline float round_row(const float* from, int64_t size, int8_t* to) {
    constexpr float kMost = 127.f, kLeast = 1e-30f;  // below it a scale would not be a number
    Vec highest{}, lost{};
    for (int64_t d = 0; d < size; d += kLanes) {
        const Vec value = load(from + d);
        highest = greater(value < all(0.f) ? -value : value, highest);
        lost += value * 0.f;
    }
    const float range = largest(highest);
    const bool is_zero = !(range > kLeast);
    const Vec steps = all(is_zero ? 0.f : kMost / range);
    for (int64_t d = 0; d < size; d += kLanes) store(to + d, load(from + d) * steps);
    return (is_zero ? 0.f : range / kMost) + sum(lost);
}

// The keys or the values of one layer, [slots, K, D].
template <typename T>
struct Memory {
    T* values;
    float* scales;  // [slots, K], of rows of 8 bits alone
    int64_t num_heads, head_dim;

    Row<T> row(int64_t slot, int64_t head) const {
        const int64_t at = slot * num_heads + head;
        if constexpr (std::is_same_v<T, int8_t>)
            return {values + at * head_dim, scales[at]};
        else
            return {values + at * head_dim, 1.f};
    }

    // Have a row brought near, as blocks lie anywhere and no processor foresees them.
    void fetch(int64_t slot, int64_t head) const {
        const T* from = row(slot, head).values;
        for (int64_t d = 0; d < head_dim; d += kLine / sizeof(T)) __builtin_prefetch(from + d);
    }

    // Keep all heads of a token.
    void keep(int64_t slot, const float* from) const {
        for (int64_t head = 0; head < num_heads; ++head, from += head_dim) {
            const int64_t at = slot * num_heads + head;
            T* to = values + at * head_dim;
            if constexpr (std::is_same_v<T, int8_t>)
                scales[at] = round_row(from, head_dim, to);
            else
                for (int64_t d = 0; d < head_dim; d += kLanes) store(to + d, load(from + d));
        }
    }
};

}  // namespace weft
