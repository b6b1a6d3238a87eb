// Products of a few or many rows with a weight that is laid out once.
//
// A weight [O, I] is stored as panels of 32 outputs: panel p holds, for every input i, the weights
// of outputs 32 p ... 32 p + 31, in the order that load_pair reads. A tile of up to kTileRows rows
// keeps its sums in registers while one panel streams by, so one row costs the weight's bytes and
// many rows cost its products.
#pragma once

#include <omp.h>

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace weft {

constexpr int kPanel = 2 * kLanes;
#ifdef __AVX512F__
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 3;
#endif
// Most inputs of one pass: the widened part of a panel then stays in the second cache.
constexpr int64_t kPassInputs = 2048;
// Up to so many rows are read where they lie; more of them would crowd one set of the first cache.
constexpr int64_t kLooseRows = 4;
// How far before its use a weight is fetched, in bytes: from memory, and from the second cache.
constexpr int64_t kFarAhead = 4096, kNearAhead = 1536;

// What a panel is made of; the integers are those of quantised.h.
enum Kind : int32_t { kFloat32, kBFloat16, kInt8, kInt13 };

struct Weight {
    const void* panels;
    const float* bias;  // [O] or null
    int64_t outputs;
    int64_t inputs;
    Kind kind;
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
                to[i * kPanel + place_in_pair<From>(lane)] =
                    output < outputs ? weight[output * inputs + i] : From{};
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

// A range cut into the fewest parts of at most ``most``, all nearly equal.
struct Parts {
    int64_t size, count;

    Parts(int64_t size, int64_t most) : size(size), count((size + most - 1) / most) {}
    int64_t begin(int64_t part) const { return size * part / count; }
};

// The rows of one tile: element (m, i) is at x[m * row + i], or packed at x[i * height + m].
struct TileRows {
    const float* x;
    int64_t height, row;
};

// What to fetch from memory while a tile is computed: ``step`` bytes for every input.
struct Ahead {
    const char* start;
    int64_t step;
};

// out[m] += rows[m] . weight over ``inputs`` inputs.
template <int ROWS, bool PACKED, typename W>
inline void multiply_tile(const TileRows& rows, const W* weight, int64_t inputs, const Ahead& ahead,
                          float* out, int64_t out_row) {
    const float* x = rows.x;
    const int64_t row = rows.row;
    Vec low[ROWS], high[ROWS];
#pragma GCC unroll 12
    for (int m = 0; m < ROWS; ++m) {
        low[m] = load(out + m * out_row);
        high[m] = load(out + m * out_row + kLanes);
    }
    for (int64_t i = 0; i < inputs; ++i) {
        const W* w = weight + i * kPanel;
        __builtin_prefetch(ahead.start + i * ahead.step);
        if (PACKED) {
            __builtin_prefetch(reinterpret_cast<const char*>(w) + kNearAhead);
            __builtin_prefetch(reinterpret_cast<const char*>(w + kLanes) + kNearAhead);
        }
        const Pair weights = load_pair(w);
#pragma GCC unroll 12
        for (int m = 0; m < ROWS; ++m) {
            const Vec value = all(PACKED ? x[i * ROWS + m] : x[m * row + i]);
            low[m] += value * weights.low;
            high[m] += value * weights.high;
        }
    }
#pragma GCC unroll 12
    for (int m = 0; m < ROWS; ++m) {
        store(out + m * out_row, low[m]);
        store(out + m * out_row + kLanes, high[m]);
    }
}

template <bool PACKED, typename W>
inline void multiply_rows(const TileRows& rows, const W* weight, int64_t inputs, const Ahead& ahead,
                          float* out, int64_t out_row) {
    switch (rows.height) {
#define WEFT_CASE(R) \
    case R: return multiply_tile<R, PACKED>(rows, weight, inputs, ahead, out, out_row);
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
    const Parts tiles(rows, kTileRows);
    const Share share(tiles.count);
    for (int64_t tile = share.begin; tile < share.end; ++tile) {
        const int64_t begin = tiles.begin(tile), height = tiles.begin(tile + 1) - begin;
        float* to = packed + begin * inputs;
        for (int64_t m = 0; m < height; ++m)
            for (int64_t i = 0; i < inputs; ++i) to[i * height + m] = x[(begin + m) * inputs + i];
    }
}

inline void widen(const BFloat16* from, int64_t count, float* to) {
    for (int64_t i = 0; i < count; i += kPanel) {
        const Pair pair = load_pair(from + i);
        store(to + i, pair.low);
        store(to + i + kLanes, pair.high);
    }
}
inline void widen(const float*, int64_t, float*) {}

// One panel of a product: out [rows, <= 32], rows of out_row floats.
struct PanelSums {
    float* out;
    int64_t out_row, width;
    const float* bias;  // of the panel's outputs, or null
    bool adds;

    // Where a tile's sums may be kept: a narrow last panel needs a place as wide as the others.
    template <typename Multiply>
    void run(int64_t begin, int64_t height, bool is_first, Multiply multiply) const {
        alignas(64) float edge[kTileRows * kPanel];
        float* to = out + begin * out_row;
        const bool is_edge = width < kPanel;
        float* sums = is_edge ? edge : to;
        const int64_t row = is_edge ? kPanel : out_row;
        if (is_edge || (is_first && (bias || !adds)))
            for (int64_t m = 0; m < height; ++m)
                for (int64_t o = 0; o < kPanel; ++o)
                    sums[m * row + o] = o < width ? start(to[m * out_row + o], o, is_first) : 0.f;
        multiply(sums, row);
        for (int64_t m = 0; is_edge && m < height; ++m)
            std::copy_n(edge + m * kPanel, width, to + m * out_row);
    }

  private:
    float start(float before, int64_t output, bool is_first) const {
        if (!is_first) return before;
        return (adds ? before : 0.f) + (bias ? bias[output] : 0.f);
    }
};

// This thread's part of out [rows, O] = x [rows, I] . weight^T + bias, or += with ``adds``. All
// threads of a team call it; ``packed`` has room for rows * I floats, ``out`` rows of out_row
// floats. Ends with a barrier.
template <typename W>
void multiply(const Weight& weight, const float* x, int64_t rows, float* packed, float* out,
              int64_t out_row, bool adds) {
    const int64_t inputs = weight.inputs;
    const Parts tiles(rows, kTileRows), passes(inputs, kPassInputs);
    const bool is_packed = rows > kLooseRows;
    const bool is_widened = tiles.count > 1 && sizeof(W) != sizeof(float);
    if (is_packed) {
        pack_rows(x, rows, inputs, packed);
#pragma omp barrier
    }
    thread_local std::vector<Vec> room;
    if (is_widened) room.resize(std::min(inputs, kPassInputs) * kPanel / kLanes);
    const Share share(weight.num_panels());
    const int64_t input_bytes = kPanel * sizeof(W);
    for (int64_t panel = share.begin; panel < share.end; ++panel) {
        const int64_t output = panel * kPanel;
        const PanelSums sums{out + output, out_row,
                             std::min<int64_t>(kPanel, weight.outputs - output),
                             weight.bias ? weight.bias + output : nullptr, adds};
        for (int64_t pass = 0; pass < passes.count; ++pass) {
            const int64_t start = passes.begin(pass), size = passes.begin(pass + 1) - start;
            const W* from =
                static_cast<const W*>(weight.panels) + (panel * inputs + start) * kPanel;
            float* wide = reinterpret_cast<float*>(room.data());
            if (is_widened) widen(from, size * kPanel, wide);
            // Many tiles share the fetching of what comes next, one reads what it needs itself.
            const char* next = reinterpret_cast<const char*>(from) +
                               (tiles.count > 1 ? size * input_bytes : kFarAhead);
            for (int64_t tile = 0; tile < tiles.count; ++tile) {
                const int64_t begin = tiles.begin(tile), height = tiles.begin(tile + 1) - begin;
                const Ahead ahead{next + size * input_bytes / tiles.count * tile,
                                  input_bytes / tiles.count};
                const float* values =
                    is_packed ? packed + begin * inputs + start * height : x + start;
                const TileRows part{values, height, inputs};
                sums.run(begin, height, pass == 0, [&](float* to, int64_t to_row) {
                    if (is_widened)
                        multiply_rows<true>(part, wide, size, ahead, to, to_row);
                    else if (is_packed)
                        multiply_rows<true>(part, from, size, ahead, to, to_row);
                    else
                        multiply_rows<false>(part, from, size, ahead, to, to_row);
                });
            }
        }
    }
#pragma omp barrier
}

}  // namespace weft
