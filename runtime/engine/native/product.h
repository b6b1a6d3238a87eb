// Products of a few or many rows with a weight that is laid out once.
//
// A weight [O, I] is stored as panels of 32 outputs: panel p holds, for every input i, the weights
// of outputs 32 p ... 32 p + 31. A tile of up to kTileRows rows keeps its sums in registers while
// one panel streams by, so one row costs the weight's bytes and many rows cost its products.
#pragma once

#include <omp.h>

#include <algorithm>

#include "vectors.h"

namespace weft {

constexpr int kPanel = 2 * kLanes;
#ifdef __AVX512F__
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 3;
#endif
// Inputs of one pass: a tile's rows then stay in the first cache, a group's weights in the second.
constexpr int64_t kPassInputs = 256;
constexpr int kGroupPanels = 4;

struct Weight {
    const void* panels;
    const float* bias;    // [O] or null
    const float* scales;  // [O] where the panels are of 8 bits (quantised.h), else null
    int64_t outputs;
    int64_t inputs;
    int32_t is_bfloat16;
    int32_t padding;

    int64_t num_panels() const { return (outputs + kPanel - 1) / kPanel; }
};

template <typename From>
void pack(const From* weight, int64_t outputs, int64_t inputs, From* panels) {
    const int64_t num_panels = (outputs + kPanel - 1) / kPanel;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < num_panels; ++panel) {
        From* to = panels + panel * inputs * kPanel;
        for (int64_t lane = 0; lane < kPanel; ++lane) {
            const int64_t output = panel * kPanel + lane;
            for (int64_t i = 0; i < inputs; ++i)
                to[i * kPanel + lane] = output < outputs ? weight[output * inputs + i] : From{};
        }
    }
}

// The slice of ``count`` items that is this thread's.
struct Share {
    int64_t begin, end;

    explicit Share(int64_t count) {
        const int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
        begin = count * me / threads;
        end = count * (me + 1) / threads;
    }
};

// Rows cut into tiles of nearly equal height.
struct Tiles {
    int64_t rows, count;

    explicit Tiles(int64_t rows) : rows(rows), count((rows + kTileRows - 1) / kTileRows) {}
    int64_t begin(int64_t tile) const { return rows * tile / count; }
};

// sums[m] += x[m] . weight over ``inputs`` inputs; x element (m, i) is at x[m * row + i * column].
template <int ROWS, typename W>
inline void multiply_tile(const float* x, int64_t row, int64_t column, const W* weight,
                          int64_t inputs, float* out, int64_t out_row) {
    Vec low[ROWS], high[ROWS];
#pragma GCC unroll 12
    for (int m = 0; m < ROWS; ++m) {
        low[m] = load(out + m * out_row);
        high[m] = load(out + m * out_row + kLanes);
    }
    for (int64_t i = 0; i < inputs; ++i) {
        const Vec w0 = load(weight + i * kPanel), w1 = load(weight + i * kPanel + kLanes);
#pragma GCC unroll 12
        for (int m = 0; m < ROWS; ++m) {
            const Vec value = all(x[m * row + i * column]);
            low[m] += value * w0;
            high[m] += value * w1;
        }
    }
#pragma GCC unroll 12
    for (int m = 0; m < ROWS; ++m) {
        store(out + m * out_row, low[m]);
        store(out + m * out_row + kLanes, high[m]);
    }
}

template <typename W>
inline void multiply_rows(int64_t rows, const float* x, int64_t row, int64_t column,
                          const W* weight, int64_t inputs, float* out, int64_t out_row) {
    switch (rows) {
#define WEFT_CASE(R) \
    case R: return multiply_tile<R>(x, row, column, weight, inputs, out, out_row);
        WEFT_CASE(1) WEFT_CASE(2) WEFT_CASE(3)
#ifdef __AVX512F__
        WEFT_CASE(4) WEFT_CASE(5) WEFT_CASE(6) WEFT_CASE(7) WEFT_CASE(8) WEFT_CASE(9)
        WEFT_CASE(10) WEFT_CASE(11) WEFT_CASE(12)
#endif
#undef WEFT_CASE
    }
}

// Lay the rows of x out tile by tile, so that a tile's values of one input stand together.
inline void pack_rows(const float* x, int64_t rows, int64_t inputs, float* packed) {
    const Tiles tiles(rows);
    const Share share(tiles.count);
    for (int64_t tile = share.begin; tile < share.end; ++tile) {
        const int64_t begin = tiles.begin(tile), height = tiles.begin(tile + 1) - begin;
        float* to = packed + begin * inputs;
        for (int64_t m = 0; m < height; ++m)
            for (int64_t i = 0; i < inputs; ++i) to[i * height + m] = x[(begin + m) * inputs + i];
    }
}

// This thread's part of out [rows, O] = x [rows, I] . weight^T + bias, or += with ``adds``. All
// threads of a team call it; ``packed`` has room for rows * I floats, ``out`` rows of out_row
// floats. Ends with a barrier.
template <typename W>
void multiply(const Weight& weight, const float* x, int64_t rows, float* packed, float* out,
              int64_t out_row, bool adds) {
    const int64_t inputs = weight.inputs;
    const Tiles tiles(rows);
    const bool is_packed = tiles.count > 1;
    if (is_packed) {
        pack_rows(x, rows, inputs, packed);
#pragma omp barrier
    }
    const Share share(weight.num_panels());
    alignas(64) thread_local float wide[kPassInputs * kPanel * kGroupPanels];
    alignas(64) float edge[kTileRows * kPanel] = {};
    for (int64_t group = share.begin; group < share.end; group += kGroupPanels) {
        const int64_t group_end = std::min<int64_t>(group + kGroupPanels, share.end);
        for (int64_t start = 0; start < inputs; start += kPassInputs) {
            const int64_t size = std::min(kPassInputs, inputs - start);
            const bool widens = is_packed && sizeof(W) != sizeof(float);
            for (int64_t panel = group; widens && panel < group_end; ++panel) {
                const W* from =
                    static_cast<const W*>(weight.panels) + (panel * inputs + start) * kPanel;
                float* to = wide + (panel - group) * kPassInputs * kPanel;
                for (int64_t i = 0; i < size * kPanel; i += kLanes) store(to + i, load(from + i));
            }
            for (int64_t tile = 0; tile < tiles.count; ++tile) {
                const int64_t begin = tiles.begin(tile), height = tiles.begin(tile + 1) - begin;
                const float* values =
                    is_packed ? packed + begin * inputs + start * height : x + start;
                const int64_t row = is_packed ? 1 : inputs, column = is_packed ? height : 1;
                for (int64_t panel = group; panel < group_end; ++panel) {
                    const int64_t output = panel * kPanel;
                    const int64_t width = std::min<int64_t>(kPanel, weight.outputs - output);
                    float* to = out + begin * out_row + output;
                    const bool is_edge = width < kPanel;
                    float* sums = is_edge ? edge : to;
                    const int64_t sums_row = is_edge ? kPanel : out_row;
                    const bool is_first = start == 0;
                    if (is_edge || (is_first && (weight.bias || !adds)))
                        for (int64_t m = 0; m < height; ++m)
                            for (int64_t o = 0; o < width; ++o)
                                sums[m * sums_row + o] =
                                    (is_first && !adds ? 0.f : to[m * out_row + o]) +
                                    (is_first && weight.bias ? weight.bias[output + o] : 0.f);
                    if (widens)
                        multiply_rows(height, values, row, column,
                                      wide + (panel - group) * kPassInputs * kPanel, size, sums,
                                      sums_row);
                    else
                        multiply_rows(height, values, row, column,
                                      static_cast<const W*>(weight.panels) +
                                          (panel * inputs + start) * kPanel,
                                      size, sums, sums_row);
                    for (int64_t m = 0; is_edge && m < height; ++m)
                        std::copy_n(edge + m * kPanel, width, to + m * out_row);
                }
            }
        }
    }
#pragma omp barrier
}

}  // namespace weft
