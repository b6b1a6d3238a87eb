// Products of integers: weights and rows are rounded block by block, and the sums of a block are
// exact, so no order of adding shows in them.
//
// A weight [O, I] lies in panels of 32 outputs as in product.h, here in words of four bytes that
// hold several inputs of one output, because one instruction multiplies and adds all of them. The
// inputs go in blocks of 128. A block of a panel begins with what 1 stands for in each of its 32
// outputs, as floats; its words follow, those of 32 outputs for the same inputs together. A row of
// activations is rounded alike, each block by its own largest value, so that nothing else in the
// batch has a say in it.
#pragma once

#include "product.h"

namespace weft {

constexpr int64_t kBlockInputs = 128;
constexpr int64_t kStep = kPanel * sizeof(int32_t);  // bytes of a panel for one word of inputs
// A block whose values are all below this is taken for zeros: its scale would not be a number.
constexpr float kSmallest = 1e-30f;

inline Vec load_up_to(const float* from, int64_t count) {
    if (count >= kLanes) return load(from);
    float lanes[kLanes] = {};
    std::copy_n(from, count, lanes);
    return load(lanes);
}

inline void store_up_to(float* to, Vec value, int64_t count) {
    if (count >= kLanes) return store(to, value);
    float lanes[kLanes];
    store(lanes, value);
    std::copy_n(lanes, count, to);
}

// Weights and rows from -127 to 127. The instruction wants weights without sign, so they are kept
// 128 higher; what this adds to a product is 128 times the sum of its row, and is taken off.
struct Int8 {
    typedef uint8_t Values __attribute__((vector_size(kLanes)));
    static constexpr int64_t kInWord = 4;
    static constexpr float kLargest = 127.f;
    static constexpr int32_t kShift = 128;

    // sums[lane] += the weights of the lane's word times the values of the word ``x``.
    static IntVec add_products(IntVec sums, const int32_t* weights, int32_t x) {
#ifdef __AVX512VNNI__
        return (IntVec)_mm512_dpbusd_epi32((__m512i)sums, _mm512_loadu_si512(weights),
                                           _mm512_set1_epi32(x));
#else
        BitVec words;
        std::memcpy(&words, weights, sizeof words);
        for (int bits = 0; bits < 32; bits += 8)
            sums += (IntVec)((words >> bits) & 255) * static_cast<int8_t>(x >> bits);
        return sums;
#endif
    }
};

// Weights and rows from -4095 to 4095, the most of which 128 products fit a sum of 32 bits. Rounding
// is expected to lose at most 2^-10.3 of a block's length: its largest value is at most sqrt(128)
// times its root mean square, and a step's error 1 / sqrt(12) of the step on the mean. Rounding
// each value to bfloat16 loses about as much.
struct Int13 {
    typedef uint16_t Values __attribute__((vector_size(2 * kLanes)));
    static constexpr int64_t kInWord = 2;
    static constexpr float kLargest = 4095.f;
    static constexpr int32_t kShift = 0;

    static IntVec add_products(IntVec sums, const int32_t* weights, int32_t x) {
#ifdef __AVX512VNNI__
        return (IntVec)_mm512_dpwssd_epi32((__m512i)sums, _mm512_loadu_si512(weights),
                                           _mm512_set1_epi32(x));
#else
        IntVec words;
        std::memcpy(&words, weights, sizeof words);
        const BitVec high = (BitVec)((words >> 16) * (x >> 16));
        const BitVec low = (BitVec)(((words << 16) >> 16) * static_cast<int16_t>(x));
        return (IntVec)((BitVec)sums + high + low);
#endif
    }
};

// Rounded rows, tile by tile, so that a tile's words of the same inputs stand together.
template <typename Format>
struct RoundedRows {
    static constexpr int64_t kBlockWords = kBlockInputs / Format::kInWord;
    Parts tiles;
    int64_t inputs, words, blocks;
    float* scales;    // [rows, blocks]: what 1 stands for
    int32_t* shifts;  // [rows, blocks]: kShift times the sum of the block
    int32_t* values;  // by tile: [words, height]

    // ``room`` holds rows * size(inputs) words.
    RoundedRows(float* room, int64_t rows, int64_t inputs)
        : tiles(rows, kTileRows), inputs(inputs),
          words((inputs + Format::kInWord - 1) / Format::kInWord),
          blocks((inputs + kBlockInputs - 1) / kBlockInputs), scales(room),
          shifts(reinterpret_cast<int32_t*>(room) + rows * blocks),
          values(shifts + rows * blocks) {}

    static int64_t size(int64_t inputs) {
        const RoundedRows one(nullptr, 1, inputs);
        return one.words + 2 * one.blocks;
    }

    void round(const float* x, int64_t row) {
        const int64_t tile = ((row + 1) * tiles.count - 1) / tiles.size;
        const int64_t begin = tiles.begin(tile), height = tiles.begin(tile + 1) - begin;
        int32_t* to = values + begin * words + row - begin;
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t from = block * kBlockInputs;
            round_block(x + from, std::min(kBlockInputs, inputs - from), row * blocks + block,
                        to + block * kBlockWords * height, height);
        }
    }

  private:
    // A block with a value that is no finite number gets a scale that is none: all its row gives
    // is NaN.
    void round_block(const float* x, int64_t count, int64_t block, int32_t* to, int64_t height) {
        Vec highest{}, lost{};
        for (int64_t i = 0; i < count; i += kLanes) {
            const Vec value = load_up_to(x + i, count - i);
            highest = greater(value < all(0.f) ? -value : value, highest);
            lost += value * 0.f;
        }
        const float range = largest(highest);
        scales[block] = range / Format::kLargest + sum(lost);
        const Vec steps = all(range > kSmallest ? Format::kLargest / range : 0.f);
        const Vec rounder = all(12582912.f);  // 1.5 * 2^23: leaves the integer in the low bits
        const int64_t num_words = (count + Format::kInWord - 1) / Format::kInWord;
        constexpr int64_t in_vector = kLanes / Format::kInWord;
        BitVec total{};
        for (int64_t i = 0; i < count; i += kLanes) {
            const Vec shifted = load_up_to(x + i, count - i) * steps + rounder;
            const BitVec integers = (BitVec)shifted - (BitVec)rounder;
            total += integers;
            const auto narrow = __builtin_convertvector(integers, typename Format::Values);
            int32_t parts[in_vector];
            std::memcpy(parts, &narrow, sizeof parts);
            const int64_t word = i / Format::kInWord;
            for (int64_t j = 0; j < std::min(num_words - word, in_vector); ++j)
                to[(word + j) * height] = parts[j];
        }
        uint32_t whole = 0;
        for (int lane = 0; Format::kShift && lane < kLanes; ++lane) whole += total[lane];
        shifts[block] = static_cast<int32_t>(whole * Format::kShift);
    }
};

// totals[2 m], totals[2 m + 1] = row first + m times the 32 outputs of one panel, for ROWS rows:
// exact sums of each block, made floats and added in the order of the blocks.
template <typename Format, int ROWS>
void sum_tile(const RoundedRows<Format>& rows, int64_t first, const int32_t* panel,
              const Ahead& ahead, Vec* totals) {
    constexpr int64_t block_words = RoundedRows<Format>::kBlockWords;
    const int32_t* x = rows.values + first * rows.words;
    const char* next = ahead.start;
    for (int64_t block = 0; block < rows.blocks; ++block) {
        const float* scales = reinterpret_cast<const float*>(panel);
        const int64_t count = std::min(block_words, rows.words - block * block_words);
        panel += kPanel;
        IntVec low[ROWS], high[ROWS];
#pragma GCC unroll 12
        for (int m = 0; m < ROWS; ++m)
            low[m] = high[m] = IntVec{} - rows.shifts[(first + m) * rows.blocks + block];
        for (int64_t word = 0; word < count; ++word, panel += kPanel, next += ahead.step) {
            __builtin_prefetch(next);
            __builtin_prefetch(next + ahead.step / 2);
            __builtin_prefetch(reinterpret_cast<const char*>(panel) + kNearAhead);
            __builtin_prefetch(reinterpret_cast<const char*>(panel + kLanes) + kNearAhead);
#pragma GCC unroll 12
            for (int m = 0; m < ROWS; ++m) {
                const int32_t value = x[word * ROWS + m];
                low[m] = Format::add_products(low[m], panel, value);
                high[m] = Format::add_products(high[m], panel + kLanes, value);
            }
        }
        x += count * ROWS;
        const Vec low_scales = load(scales), high_scales = load(scales + kLanes);
#pragma GCC unroll 12
        for (int m = 0; m < ROWS; ++m) {
            const Vec scale = all(rows.scales[(first + m) * rows.blocks + block]);
            for (int half = 0; half < 2; ++half) {
                Vec& total = totals[2 * m + half];
                const IntVec sum = half ? high[m] : low[m];
                total = multiply_add(__builtin_convertvector(sum, Vec),
                                     (half ? high_scales : low_scales) * scale,
                                     block ? total : Vec{});
            }
        }
    }
}

template <typename Format>
void sum_rows(int64_t height, const RoundedRows<Format>& rows, int64_t first, const int32_t* panel,
              const Ahead& ahead, Vec* totals) {
    switch (height) {
#define WEFT_CASE(R) \
    case R: return sum_tile<Format, R>(rows, first, panel, ahead, totals);
        WEFT_CASE(1) WEFT_CASE(2) WEFT_CASE(3)
#ifdef __AVX512F__
        WEFT_CASE(4) WEFT_CASE(5) WEFT_CASE(6) WEFT_CASE(7) WEFT_CASE(8) WEFT_CASE(9)
        WEFT_CASE(10) WEFT_CASE(11) WEFT_CASE(12)
#endif
#undef WEFT_CASE
    }
}

// out[o] = or += one row's totals, plus the bias, for the panel's outputs that exist.
inline void finish(const Vec* totals, const float* bias, int64_t width, float* out, bool adds) {
    for (int64_t o = 0; o < width; o += kLanes) {
        Vec value = *totals++;
        if (bias) value += load_up_to(bias + o, width - o);
        if (adds) value += load_up_to(out + o, width - o);
        store_up_to(out + o, value, width - o);
    }
}

// As ``multiply`` of product.h, for a weight of integers. ``room`` has space for what rows takes.
// Ends with a barrier.
template <typename Format>
void multiply_rounded(const Weight& weight, const float* x, int64_t rows, float* room, float* out,
                      int64_t out_row, bool adds) {
    // A few rows are sooner rounded by every thread for itself than waited for.
    const bool is_shared = rows > kLooseRows;
    thread_local std::vector<float> own;
    if (!is_shared) own.resize(rows * RoundedRows<Format>::size(weight.inputs));
    RoundedRows<Format> rounded(is_shared ? room : own.data(), rows, weight.inputs);
    const Share mine(rows);
    const int64_t begin = is_shared ? mine.begin : 0, end = is_shared ? mine.end : rows;
    for (int64_t row = begin; row < end; ++row) rounded.round(x + row * weight.inputs, row);
    if (is_shared) {
#pragma omp barrier
    }
    const int64_t panel_words = (rounded.blocks + rounded.words) * kPanel;
    const int64_t panel_bytes = panel_words * sizeof(int32_t), count = rounded.tiles.count;
    const Share share(weight.num_panels());
    for (int64_t panel = share.begin; panel < share.end; ++panel) {
        const int32_t* from = static_cast<const int32_t*>(weight.panels) + panel * panel_words;
        const int64_t output = panel * kPanel;
        const int64_t width = std::min<int64_t>(kPanel, weight.outputs - output);
        const float* bias = weight.bias ? weight.bias + output : nullptr;
        // Many tiles share the fetching of what comes next, one reads what it needs itself.
        const char* next =
            reinterpret_cast<const char*>(from) + (count > 1 ? panel_bytes : kFarAhead);
        for (int64_t tile = 0; tile < count; ++tile) {
            const int64_t first = rounded.tiles.begin(tile);
            const int64_t height = rounded.tiles.begin(tile + 1) - first;
            const Ahead ahead{next + panel_bytes / count * tile, kStep / count};
            Vec totals[2 * kTileRows];
            sum_rows(height, rounded, first, from, ahead, totals);
            for (int64_t m = 0; m < height; ++m)
                finish(totals + 2 * m, bias, width, out + (first + m) * out_row + output, adds);
        }
    }
#pragma omp barrier
}

}  // namespace weft
