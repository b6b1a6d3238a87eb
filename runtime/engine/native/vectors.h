// Sixteen floats at a time, in GCC's and Clang's vector types: the compiler maps them to whatever
// the processor has.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

namespace weft {

constexpr int kLanes = 16;

typedef float Vec __attribute__((vector_size(64)));
typedef int32_t IntVec __attribute__((vector_size(64)));
typedef uint32_t BitVec __attribute__((vector_size(64)));
typedef float VecInMemory __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t HalfInMemory __attribute__((vector_size(32), aligned(2), may_alias));

struct BFloat16 {
    uint16_t bits;
};

inline Vec load(const float* from) { return *reinterpret_cast<const VecInMemory*>(from); }

inline Vec load(const BFloat16* from) {
    const auto half = *reinterpret_cast<const HalfInMemory*>(from);
    return (Vec)(__builtin_convertvector(half, BitVec) << 16);
}

struct Pair {
    Vec low, high;
};

// 32 values as two vectors. In bfloat16 value j and value j + 16 share a word, so that a shift and a
// mask part them; ``place_in_pair`` says where each stands.
inline Pair load_pair(const float* from) { return {load(from), load(from + kLanes)}; }

inline Pair load_pair(const BFloat16* from) {
    const BitVec words = (BitVec)load(reinterpret_cast<const float*>(from));
    return {(Vec)(words << 16), (Vec)(words & 0xffff0000u)};
}

template <typename T>
constexpr int64_t place_in_pair(int64_t value) {
    return sizeof(T) == sizeof(float) ? value : value % kLanes * 2 + value / kLanes;
}

inline void store(float* to, Vec value) { *reinterpret_cast<VecInMemory*>(to) = value; }

inline float value_of(float x) { return x; }
inline float value_of(BFloat16 x) {
    const uint32_t word = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

template <typename T>
void copy(const T* from, int64_t size, float* to) {
    int64_t i = 0;
    for (; i + kLanes <= size; i += kLanes) store(to + i, load(from + i));
    for (; i < size; ++i) to[i] = value_of(from[i]);
}

// Rounds to nearest, ties to even.
inline void store(BFloat16* to, Vec value) {
    const BitVec bits = (BitVec)value;
    const BitVec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    typedef uint16_t Half __attribute__((vector_size(32)));
    *reinterpret_cast<HalfInMemory*>(to) = __builtin_convertvector(rounded, Half);
}

// Not Vec{} + value: that is an addition, which keeps the compiler from loading and spreading at once.
inline Vec all(float v) { return Vec{v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v}; }

// one * other + more, rounded once. Left to itself a compiler may do so in one copy of a loop and
// round twice in another.
inline Vec multiply_add(Vec one, Vec other, Vec more) {
#ifdef __AVX512F__
    return (Vec)_mm512_fmadd_ps((__m512)one, (__m512)other, (__m512)more);
#else
    for (int lane = 0; lane < kLanes; ++lane)
        more[lane] = __builtin_fmaf(one[lane], other[lane], more[lane]);
    return more;
#endif
}

inline Vec greater(Vec one, Vec other) { return one > other ? one : other; }

// Folds the lanes of a vector in halves: one fixed order.
template <typename Fold>
inline float reduce(Vec value, Fold fold) {
    constexpr IntVec eights{8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7};
    constexpr IntVec fours{4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11};
    constexpr IntVec twos{2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13};
    constexpr IntVec ones{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14};
    value = fold(value, __builtin_shuffle(value, eights));
    value = fold(value, __builtin_shuffle(value, fours));
    value = fold(value, __builtin_shuffle(value, twos));
    return fold(value, __builtin_shuffle(value, ones))[0];
}

inline float sum(Vec value) {
    return reduce(value, [](Vec one, Vec other) { return one + other; });
}

inline float largest(Vec value) {
    return reduce(value, [](Vec one, Vec other) { return greater(one, other); });
}

// exp by 2^n times a polynomial on |r| <= ln(2) / 2 (Cephes' coefficients).
// Inputs outside +-87 are clamped.
inline Vec exp(Vec x) {
    x = x > all(87.f) ? all(87.f) : x;
    x = x < all(-87.f) ? all(-87.f) : x;
    const Vec shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: rounds to an integer
    const Vec n = shifted - 12582912.f;
    const Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    return (Vec)((IntVec)p + (__builtin_convertvector(n, IntVec) << 23));
}

// 2^x of numbers that are not above 0; exactly 0 from -127 down. The polynomial interpolates 2^r
// at the Chebyshev points of |r| <= 1/2.
inline Vec exp2_below(Vec x) {
    x = greater(all(-127.f), x);  // in this order a NaN stays
    const Vec shifted = x + 12582912.f;  // 1.5 * 2^23: rounds to an integer
    const Vec n = shifted - 12582912.f;
    const Vec r = x - n;
    Vec p = all(1.5461444855e-4f);
    p = p * r + 1.3400427997e-3f;
    p = p * r + 9.6180569381e-3f;
    p = p * r + 5.5503271520e-2f;
    p = p * r + 2.4022650719e-1f;
    p = p * r + 6.9314718246e-1f;
    p = p * r + 1.f;
    return (Vec)((IntVec)p + (__builtin_convertvector(n, IntVec) << 23));
}

}  // namespace weft
