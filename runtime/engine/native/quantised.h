// Products with weights of 8 bits: sums of integers are exact, so no order of adding shows in them.
//
// A weight [O, I] lies in panels of 32 outputs as in product.h, but four inputs of one output
// stand together, because one instruction multiplies and adds four bytes. Weights are kept 128
// higher, without sign, as that instruction wants one of its factors; what this adds to a product
// is 128 times the sum of its row, and is taken off at the end. A row of activations is rounded
// to -127 ... 127 by its own largest value, so that nothing else in the batch has a say in it.
#pragma once

#ifdef __AVX512VNNI__
#include <immintrin.h>
#endif

#include "product.h"

namespace weft {

constexpr int64_t kFour = 4;
constexpr int64_t kStep = kPanel * kFour;  // bytes of a panel for four inputs
constexpr float kLargest = 127.f;
constexpr int32_t kShift = 128;
// A row whose values are all below this is taken for zeros: its scale would not be a number.
constexpr float kSmallest = 1e-30f;

inline int64_t fours_of(int64_t inputs) { return (inputs + kFour - 1) / kFour; }

// sums[lane] += the four unsigned weights of the lane times the four signed bytes of ``x``.
inline IntVec add_products(IntVec sums, const uint8_t* weights, int32_t x) {
#ifdef __AVX512VNNI__
    return (IntVec)_mm512_dpbusd_epi32((__m512i)sums, _mm512_loadu_si512(weights),
                                       _mm512_set1_epi32(x));
#else
    BitVec fours;
    std::memcpy(&fours, weights, sizeof fours);
    for (int bits = 0; bits < 32; bits += 8)
        sums += (IntVec)((fours >> bits) & 255) * static_cast<int8_t>(x >> bits);
    return sums;
#endif
}

// Rows of 8-bit values, tile by tile, so that a tile's values of the same inputs stand together.
struct QuantisedRows {
    Parts tiles;
    int64_t fours;
    float* scales;    // [rows]: what 1 stands for
    int32_t* shifts;  // [rows]: 128 times the sum of the row
    int32_t* values;  // four to a word

    // ``room`` holds rows * (fours + 2) words.
    QuantisedRows(float* room, int64_t rows, int64_t inputs)
        : tiles(rows, kTileRows), fours(fours_of(inputs)), scales(room),
          shifts(reinterpret_cast<int32_t*>(room) + rows), values(shifts + rows) {}

    // A row with a value that is no finite number gets a scale that is none: all it gives is NaN.
    void quantise(const float* x, int64_t inputs, int64_t row) {
        const int64_t tile = ((row + 1) * tiles.count - 1) / tiles.size;
        const int64_t begin = tiles.begin(tile), height = tiles.begin(tile + 1) - begin;
        int32_t* to = values + begin * fours + row - begin;
        Vec highest{}, lost{};
        for (int64_t i = 0; i < inputs; i += kLanes) {
            const Vec value = load_up_to(x + i, inputs - i);
            highest = greater(value < all(0.f) ? -value : value, highest);
            lost += value * 0.f;
        }
        const float range = largest(highest);
        scales[row] = range / kLargest + sum(lost);
        const Vec steps = all(range > kSmallest ? kLargest / range : 0.f);
        const Vec rounder = all(12582912.f);  // 1.5 * 2^23: leaves the integer in the low bits
        BitVec total{};
        for (int64_t i = 0; i < inputs; i += kLanes) {
            const Vec shifted = load_up_to(x + i, inputs - i) * steps + rounder;
            const BitVec integers = (BitVec)shifted - (BitVec)rounder;
            total += integers;
            typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
            const Bytes bytes = __builtin_convertvector(integers, Bytes);
            int32_t words[kLanes / kFour];
            std::memcpy(words, &bytes, sizeof words);
            const int64_t four = i / kFour, count = std::min(fours - four, kLanes / kFour);
            for (int64_t j = 0; j < count; ++j) to[(four + j) * height] = words[j];
        }
        uint32_t whole = 0;
        for (int lane = 0; lane < kLanes; ++lane) whole += total[lane];
        shifts[row] = static_cast<int32_t>(whole * kShift);
    }

  private:
    static Vec load_up_to(const float* from, int64_t count) {
        if (count >= kLanes) return load(from);
        float lanes[kLanes] = {};
        std::copy_n(from, count, lanes);
        return load(lanes);
    }
};

// sums[m] = the product of row first + m with one panel, for ROWS rows and 32 outputs.
template <int ROWS>
void sum_tile(const QuantisedRows& rows, int64_t first, const uint8_t* panel, const Ahead& ahead,
              IntVec* sums) {
    const int32_t* x = rows.values + first * rows.fours;
    IntVec low[ROWS], high[ROWS];
#pragma GCC unroll 12
    for (int m = 0; m < ROWS; ++m) low[m] = high[m] = IntVec{} - rows.shifts[first + m];
    for (int64_t four = 0; four < rows.fours; ++four) {
        const uint8_t* weights = panel + four * kStep;
        __builtin_prefetch(ahead.start + four * ahead.step);
        __builtin_prefetch(ahead.start + four * ahead.step + ahead.step / 2);
        __builtin_prefetch(weights + kNearAhead);
        __builtin_prefetch(weights + kNearAhead + kStep / 2);
#pragma GCC unroll 12
        for (int m = 0; m < ROWS; ++m) {
            const int32_t value = x[four * ROWS + m];
            low[m] = add_products(low[m], weights, value);
            high[m] = add_products(high[m], weights + kStep / 2, value);
        }
    }
#pragma GCC unroll 12
    for (int m = 0; m < ROWS; ++m) {
        sums[2 * m] = low[m];
        sums[2 * m + 1] = high[m];
    }
}

inline void sum_rows(int64_t height, const QuantisedRows& rows, int64_t first,
                     const uint8_t* panel, const Ahead& ahead, IntVec* sums) {
    switch (height) {
#define WEFT_CASE(R) \
    case R: return sum_tile<R>(rows, first, panel, ahead, sums);
        WEFT_CASE(1) WEFT_CASE(2) WEFT_CASE(3)
#ifdef __AVX512F__
        WEFT_CASE(4) WEFT_CASE(5) WEFT_CASE(6) WEFT_CASE(7) WEFT_CASE(8) WEFT_CASE(9)
        WEFT_CASE(10) WEFT_CASE(11) WEFT_CASE(12)
#endif
#undef WEFT_CASE
    }
}

// out = or += what the sums of one row stand for, plus the bias. The one place where sums become
// floats: were it part of each height's code, the compiler would be free to round in each as it
// likes.
inline void finish(const IntVec* sums, float scale, const float* scales, const float* bias,
                   float* out, bool adds) {
    for (int lane = 0; lane < kPanel; lane += kLanes) {
        Vec value = __builtin_convertvector(*sums++, Vec) * (scale * load(scales + lane));
        if (bias) value += load(bias + lane);
        if (adds) value += load(out + lane);
        store(out + lane, value);
    }
}

// One tile with one panel; the last panel has places for more outputs than there may be.
inline void multiply_panel(const Weight& weight, int64_t panel, const QuantisedRows& rows,
                           int64_t tile, float* out, int64_t out_row, bool adds) {
    const int64_t first = rows.tiles.begin(tile), height = rows.tiles.begin(tile + 1) - first;
    const int64_t output = panel * kPanel;
    const int64_t width = std::min<int64_t>(kPanel, weight.outputs - output);
    const int64_t panel_bytes = rows.fours * kStep;
    const auto* from = static_cast<const uint8_t*>(weight.panels) + panel * panel_bytes;
    // Many tiles share the fetching of what comes next, one reads what it needs itself.
    const int64_t count = rows.tiles.count;
    const auto* next = reinterpret_cast<const char*>(from) + (count > 1 ? panel_bytes : kFarAhead);
    const Ahead ahead{next + panel_bytes / count * tile, kStep / count};
    const float* bias = weight.bias ? weight.bias + output : nullptr;
    IntVec sums[2 * kTileRows];
    sum_rows(height, rows, first, from, ahead, sums);
    for (int64_t m = 0; m < height; ++m) {
        float edge[kPanel] = {};
        float* row = out + (first + m) * out_row + output;
        float* to = width < kPanel ? edge : row;
        if (to == edge) std::copy_n(row, width, edge);
        finish(sums + 2 * m, rows.scales[first + m], weight.scales + output, bias, to, adds);
        if (to == edge) std::copy_n(edge, width, row);
    }
}

// As ``multiply`` of product.h, for a weight with ``scales``: these and the bias go on to the end
// of the last panel. ``room`` has space for rows * I floats. Ends with a barrier.
inline void multiply_quantised(const Weight& weight, const float* x, int64_t rows, float* room,
                               float* out, int64_t out_row, bool adds) {
    // A few rows are sooner quantised by every thread for itself than waited for.
    const bool is_shared = rows > kLooseRows;
    thread_local std::vector<float> own;
    if (!is_shared) own.resize(rows * (fours_of(weight.inputs) + 2));
    QuantisedRows quantised(is_shared ? room : own.data(), rows, weight.inputs);
    const Share mine(rows);
    const int64_t begin = is_shared ? mine.begin : 0, end = is_shared ? mine.end : rows;
    for (int64_t row = begin; row < end; ++row)
        quantised.quantise(x + row * weight.inputs, weight.inputs, row);
    if (is_shared) {
#pragma omp barrier
    }
    const Share share(weight.num_panels());
    for (int64_t panel = share.begin; panel < share.end; ++panel)
        for (int64_t tile = 0; tile < quantised.tiles.count; ++tile)
            multiply_panel(weight, panel, quantised, tile, out, out_row, adds);
#pragma omp barrier
}

}  // namespace weft
