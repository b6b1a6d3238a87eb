// Sixteen floats at a time, in GCC's and Clang's vector types: the compiler maps them to whatever
// the processor has, so that no instruction set is named here.
#pragma once

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

// Rounds to nearest, ties to even.
inline void store(BFloat16* to, Vec value) {
    const BitVec bits = (BitVec)value;
    const BitVec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    typedef uint16_t Half __attribute__((vector_size(32)));
    *reinterpret_cast<HalfInMemory*>(to) = __builtin_convertvector(rounded, Half);
}

// Not Vec{} + value: that is an addition, which keeps the compiler from loading and spreading at once.
inline Vec all(float v) { return Vec{v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v}; }

inline Vec greater(Vec one, Vec other) { return one > other ? one : other; }

inline float sum(Vec value) {
    float lanes[kLanes], total = 0;
    store(lanes, value);
    for (float lane : lanes) total += lane;
    return total;
}

inline float largest(Vec value) {
    float lanes[kLanes];
    store(lanes, value);
    float best = lanes[0];
    for (float lane : lanes) best = lane > best ? lane : best;
    return best;
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

// Sums of the lanes of sixteen vectors: lane j of the result is the sum of parts[j].
inline Vec sums(const Vec* parts) {
    Vec a[8], b[4], c[2];
    constexpr IntVec low1{0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30};
    constexpr IntVec high1{1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31};
    constexpr IntVec low2{0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29};
    constexpr IntVec high2{2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31};
    constexpr IntVec low3{0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27};
    constexpr IntVec high3{4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31};
    constexpr IntVec low4{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23};
    constexpr IntVec high4{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31};
    const auto fold = [](Vec x, Vec y, IntVec low, IntVec high) {
        return __builtin_shuffle(x, y, low) + __builtin_shuffle(x, y, high);
    };
    for (int i = 0; i < 8; ++i) a[i] = fold(parts[2 * i], parts[2 * i + 1], low1, high1);
    for (int i = 0; i < 4; ++i) b[i] = fold(a[2 * i], a[2 * i + 1], low2, high2);
    for (int i = 0; i < 2; ++i) c[i] = fold(b[2 * i], b[2 * i + 1], low3, high3);
    return fold(c[0], c[1], low4, high4);
}

}  // namespace weft
