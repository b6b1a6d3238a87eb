// Attention over paged keys and values, read where they lie.
//
// A query goes through its keys in chunks, in order, keeping the greatest score, the sum of the
// weights and the weighted values. All of it depends on the query's own keys alone, in the order
// of their positions: the bits are the same whoever reads a chunk with it.
#pragma once

#include <cmath>
#include <memory>

#include "memory.h"
#include "plan.h"
#include "tile.h"

namespace weft {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

struct Heads {
    int64_t num_heads, num_kv_heads, head_dim;
    float scale;
    int64_t window;  // 0: sees everything

    int64_t group() const { return num_heads / num_kv_heads; }
    // Floats of a part: the weighted values, the greatest score and the sum of the weights.
    int64_t part_size() const { return head_dim + 2; }
};

// Where queries come from and results go: rows of so many floats, all heads of a token in each.
struct Rows {
    const float* q;
    int64_t q_row;
    float* out;
    int64_t out_row;
    float* lse;    // [num_queries, H] or null
    float* parts;  // [parts, H, part_size]: of views longer than a span or of several views
};

constexpr float kLog2E = 1.44269504f;

inline float exp2_below(float x) {
    float lanes[kLanes];
    store(lanes, exp2_below(all(x)));
    return lanes[0];
}

// Turn scores begin ... end - 1 into weights relative to the greatest score of all chunks so far,
// the others of the padded row into 0. Returns what the sums so far are to be multiplied by. All
// scores count powers of two, which are cheaper to raise.
inline float weigh(float* scores, int64_t begin, int64_t end, int64_t padded, float* best,
                   float* total) {
    if (begin >= end) {
        std::fill(scores, scores + padded, 0.f);
        return 1.f;
    }
    std::fill(scores, scores + begin, kHidden);
    std::fill(scores + end, scores + padded, kHidden);
    Vec greatest = all(*best);
    for (int64_t j = 0; j < padded; j += kLanes) greatest = greater(load(scores + j), greatest);
    const float shift = largest(greatest);
    Vec sums{};
    for (int64_t j = 0; j < padded; j += kLanes) {
        const Vec weight = exp2_below(load(scores + j) - shift);
        sums += weight;
        store(scores + j, weight);
    }
    const float factor = *best == kHidden ? 0.f : exp2_below(*best - shift);
    *best = shift;
    *total = *total * factor + sum(sums);
    return factor;
}

// The result of one query and head; zeros and minus infinity where it saw no key.
inline void finish(const Heads& heads, const Rows& rows, int64_t query, int64_t head,
                   const float* sums, float best, float total) {
    float* out = rows.out + query * rows.out_row + head * heads.head_dim;
    const bool is_empty = best == kHidden && total == 0.f;
    const float inverse = is_empty ? 0.f : 1.f / total;
    for (int64_t d = 0; d < heads.head_dim; d += kLanes) store(out + d, load(sums + d) * inverse);
    if (rows.lse)
        rows.lse[query * heads.num_heads + head] =
            is_empty ? kHidden : best / kLog2E + std::log(total);
}

// One thread's memory for an item: everything its rows (a query's heads of one key-value head,
// query after query) keep between chunks, one chunk's keys and values, one tile's scores.
template <typename KV>
class Desk {
  public:
    void reach(int64_t num_rows, int64_t head_dim) {
        queries.resize(num_rows * head_dim);
        sums.resize(num_rows * head_dim);
        best.resize(num_rows);
        total.resize(num_rows);
        before.resize(kTileHeight * head_dim);
        keys.resize(kChunk * head_dim);
        wide.resize(kChunk * head_dim);
    }

    std::vector<float> queries, sums, best, total;
    std::vector<float> before;  // a tile's sums before a chunk
    std::vector<float> keys;  // by kTileWidth keys: [D, kTileWidth]
    std::vector<float> wide;  // [kChunk, D]: values that several tiles read, as floats
    int64_t slots[kChunk];
    Row<KV> values[kChunk];
    float scores[kTileHeight * kChunk];
};

template <typename KV>
class ItemReader {
  public:
    ItemReader(const Heads& heads, const Plan& plan, const Item& item, int64_t kv_head,
               const Memory<KV>& keys, const Memory<KV>& values, Desk<KV>& desk)
        : heads_(heads), plan_(plan), paging_(plan.paging), item_(item), kv_head_(kv_head),
          keys_(keys), values_(values), desk_(desk) {}

    void read(const Rows& rows) {
        open(rows);
        const int64_t first = item_.span * (kSpan / kChunk);
        walk(item_.begin, item_.end, first, first + kSpan / kChunk);
        close(rows);
    }

  private:
    struct Range {
        int64_t begin, end;
    };

    // Positions that a view sees, of those from ``start`` on, a chunk of them.
    Range visible(int64_t view, int64_t start) const {
        int64_t first = paging_.first_keys ? paging_.first_keys[view] : 0;
        if (heads_.window) first = std::max(first, paging_.positions[view] - heads_.window + 1);
        return {std::max(first, start), std::min(paging_.num_keys[view], start + kChunk)};
    }
    int64_t num_rows(int64_t begin, int64_t end) const { return (end - begin) * heads_.group(); }
    int64_t row_of(int64_t i) const { return (i - item_.begin) * heads_.group(); }

    void open(const Rows& rows) {
        const int64_t size = heads_.head_dim, group = heads_.group();
        desk_.reach(num_rows(item_.begin, item_.end), size);
        std::fill(desk_.sums.begin(), desk_.sums.end(), 0.f);
        std::fill(desk_.best.begin(), desk_.best.end(), kHidden);
        std::fill(desk_.total.begin(), desk_.total.end(), 0.f);
        float* to = desk_.queries.data();
        for (int64_t i = item_.begin; i < item_.end; ++i, to += group * size) {
            const float* from = rows.q + plan_.order[i] * rows.q_row + kv_head_ * group * size;
            for (int64_t d = 0; d < group * size; d += kLanes)
                store(to + d, load(from + d) * (heads_.scale * kLog2E));
        }
    }

    // The chunks from ``chunk`` on for views begin ... end - 1 of the order, all levels of sharing.
    void walk(int64_t begin, int64_t end, int64_t chunk, int64_t last) {
        while (chunk < last && begin < end) {
            int64_t next = begin + 1;
            while (next < end && plan_.links[next] > chunk) ++next;
            const bool is_longer = paging_.num_keys[plan_.order[begin]] > chunk * kChunk;
            if (is_longer) attend(begin, next, chunk * kChunk);
            if (next == end) {
                ++chunk;
                begin = is_longer ? begin : end;
            } else {
                if (is_longer) walk(begin, next, chunk + 1, last);
                begin = next;
            }
        }
    }

    // One chunk for the views that share it.
    void attend(int64_t begin, int64_t end, int64_t start) {
        Range all{start + kChunk, start};
        for (int64_t i = begin; i < end; ++i) {
            const Range own = visible(plan_.order[i], start);
            if (own.begin >= own.end) continue;
            all = {std::min(all.begin, own.begin), std::max(all.end, own.end)};
        }
        if (all.begin >= all.end) return;
        // On a whole vector, so that a key stands in the same lane whoever shares the chunk.
        start += (all.begin - start) / kLanes * kLanes;
        const int64_t count = all.end - start;
        locate(plan_.order[end - 1], start, count);  // it has the most keys
        const int64_t rows = num_rows(begin, end);
        is_wide_ = rows > kTileHeight && !std::is_same_v<KV, float>;
        lay_out(count);
        for (int64_t tile = 0; tile < rows; tile += kTileHeight)
            attend_tile(begin, tile, std::min<int64_t>(kTileHeight, rows - tile), start);
    }

    // Slots of the keys from ``start`` on of one view.
    void locate(int64_t view, int64_t start, int64_t count) {
        const int32_t* table = paging_.table(view);
        const int64_t size = paging_.block_size;
        const int64_t num_plain = paging_.num_plain(view);
        const auto slot = [&](int64_t place) { return table[place / size] * size + place % size; };
        int64_t j = 0;
        for (int64_t place = start; j < count && place < num_plain;) {
            const int64_t first = slot(place);
            const int64_t run = std::min({size - place % size, count - j, num_plain - place});
            for (int64_t k = 0; k < run; ++k) desk_.slots[j + k] = first + k;
            place += run;
            j += run;
        }
        if (j == count) return;
        uint64_t left = paging_.tree_masks[view];
        for (int64_t position = num_plain; left; left &= left - 1, ++position)
            if (position >= start && position < start + count)
                desk_.slots[position - start] = slot(num_plain + __builtin_ctzll(left));
    }

    // The chunk's keys, turned so that a vector holds one element of sixteen keys, and values.
    void lay_out(int64_t count) {
        const int64_t size = heads_.head_dim;
        const auto slot = [&](int64_t j) { return desk_.slots[std::min(j, count - 1)]; };
        for (int64_t j = 0; j < count; j += kLanes) {
            Row<KV> rows[kLanes];
            for (int64_t k = 0; k < kLanes; ++k) {
                keys_.fetch(slot(j + k + kLanes), kv_head_);
                values_.fetch(slot(j + k), kv_head_);
                rows[k] = keys_.row(slot(j + k), kv_head_);
            }
            turn(rows, desk_.keys.data() + j / kTileWidth * kTileWidth * size + j % kTileWidth);
        }
        for (int64_t j = 0; j < count; ++j) {
            desk_.values[j] = values_.row(slot(j), kv_head_);
            if constexpr (!std::is_same_v<KV, float>)
                for (int64_t d = 0; is_wide_ && d < size; d += kLanes)
                    store(desk_.wide.data() + j * size + d, desk_.values[j].at(d));
        }
    }

    // Sixteen keys, element d of all of them at to[d * kTileWidth].
    void turn(const Row<KV>* rows, float* to) const {
        const int64_t size = heads_.head_dim;
        const auto keep = [&](int64_t d, Vec value) { store(to + d * kTileWidth, value); };
        int64_t d = 0;
        Vec columns[kLanes];
        // Two bfloat16 are turned as one word.
        if constexpr (std::is_same_v<KV, BFloat16>)
            for (; d + 2 * kLanes <= size; d += 2 * kLanes) {
                for (int64_t k = 0; k < kLanes; ++k)
                    columns[k] = load(reinterpret_cast<const float*>(rows[k].values + d));
                transpose(columns, [&](int64_t i, Vec words) {
                    keep(d + 2 * i, (Vec)((BitVec)words << 16));
                    keep(d + 2 * i + 1, (Vec)((BitVec)words & 0xffff0000u));
                });
            }
        for (; d < size; d += kLanes) {
            for (int64_t k = 0; k < kLanes; ++k) columns[k] = rows[k].at(d);
            transpose(columns, [&](int64_t i, Vec value) { keep(d + i, value); });
        }
    }

    // Rows tile ... tile + height - 1 of the views from ``begin`` on.
    void attend_tile(int64_t begin, int64_t tile, int64_t height, int64_t start) {
        const int64_t size = heads_.head_dim, group = heads_.group();
        const int64_t row = row_of(begin) + tile;
        Range own[kTileHeight];
        int64_t count = 0;
        for (int64_t m = 0; m < height; ++m) {
            const Range seen = visible(plan_.order[begin + (tile + m) / group], start / kChunk * kChunk);
            own[m] = {std::max(seen.begin - start, int64_t{0}), seen.end - start};
            if (own[m].begin >= own[m].end) own[m] = {0, 0};
            count = std::max(count, own[m].end);
        }
        if (!count) return;
        const int64_t padded = ceil_div(count, kLanes) * kLanes;
        float* scores = desk_.scores;
        float* sums = desk_.sums.data() + row * size;
        score(desk_.queries.data() + row * size, height, padded, scores);
        for (int64_t m = 0; m < height; ++m) {
            const float factor = weigh(scores + m * kChunk, own[m].begin, own[m].end, padded,
                                       &desk_.best[row + m], &desk_.total[row + m]);
            for (int64_t d = m * size; factor != 1.f && d < (m + 1) * size; d += kLanes)
                store(sums + d, load(sums + d) * factor);
        }
        // What a row does not see has the weight 0, which makes a number 0 but not a NaN.
        const auto sees_all = [&](int64_t m) { return !own[m].begin && own[m].end == count; };
        float* before = desk_.before.data();
        for (int64_t m = 0; m < height; ++m)
            if (!sees_all(m)) std::copy_n(sums + m * size, size, before + m * size);
        add_values(height, scores, {0, count}, sums);
        for (int64_t m = 0; m < height; ++m) {
            if (sees_all(m) || is_finite(sums + m * size)) continue;
            std::copy_n(before + m * size, size, sums + m * size);
            add_values(1, scores + m * kChunk, own[m], sums + m * size);
        }
    }

    // Add the values of a range of the chunk, weighted for each row, to the rows' sums.
    void add_values(int64_t height, const float* weights, Range range, float* sums) {
        const int64_t size = heads_.head_dim;
        const auto add = [&](int64_t d, const auto& values) {
            accumulate_tile<false>(height, std::min(kTileWidth, size - d) / kLanes,
                                   weights + range.begin, kChunk, range.end - range.begin, values,
                                   sums + d, size);
        };
        const float* wide = desk_.wide.data() + range.begin * size;
        const Row<KV>* rows = desk_.values + range.begin;
        for (int64_t d = 0; d < size; d += kTileWidth)
            if (is_wide_)
                add(d, [=](int64_t j, int64_t v) { return load(wide + j * size + d + v); });
            else
                add(d, [=](int64_t j, int64_t v) { return rows[j].at(d + v); });
    }

    bool is_finite(const float* sums) const {
        Vec lost{};
        for (int64_t d = 0; d < heads_.head_dim; d += kLanes) lost += load(sums + d) * 0.f;
        return sum(lost) == 0.f;
    }

    void score(const float* queries, int64_t height, int64_t padded, float* scores) {
        const int64_t size = heads_.head_dim;
        for (int64_t j = 0; j < padded; j += kTileWidth) {
            const float* panel = desk_.keys.data() + j * size;
            const int64_t width = std::min(kTileWidth, padded - j);
            accumulate_tile<true>(
                height, width / kLanes, queries, size, size,
                [=](int64_t d, int64_t v) { return load(panel + d * kTileWidth + v); },
                scores + j, kChunk);
        }
    }

    // A query's only part is its result; of several each is kept.
    void close(const Rows& rows) {
        const int64_t size = heads_.head_dim, group = heads_.group();
        for (int64_t i = item_.begin; i < item_.end; ++i) {
            const int64_t view = plan_.order[i], query = paging_.queries[view];
            const bool is_only = plan_.num_parts(query) == 1;
            for (int64_t g = 0; g < group; ++g) {
                const int64_t row = row_of(i) + g, head = kv_head_ * group + g;
                const float *sums = desk_.sums.data() + row * size, best = desk_.best[row];
                const float total = desk_.total[row];
                if (is_only) {
                    finish(heads_, rows, query, head, sums, best, total);
                    continue;
                }
                const int64_t part = plan_.first_part[view] + item_.span;
                float* to = rows.parts + (part * heads_.num_heads + head) * heads_.part_size();
                std::copy_n(sums, size, to);
                to[size] = best;
                to[size + 1] = total;
            }
        }
    }

    const Heads& heads_;
    const Plan& plan_;
    const Paging& paging_;
    const Item item_;
    const int64_t kv_head_;
    const Memory<KV>&keys_, &values_;
    Desk<KV>& desk_;
    bool is_wide_ = false;  // the chunk's values stand as floats, because several tiles read them
};

// One query and head from its parts, in order.
inline void merge(const Heads& heads, const Plan& plan, const Rows& rows, int64_t query,
                  int64_t head, float* sums) {
    const int64_t size = heads.head_dim, row = heads.num_heads * heads.part_size();
    const int64_t count = plan.num_parts(query);
    const float* parts =
        rows.parts + plan.query_part[query] * row + head * heads.part_size();
    float best = kHidden, total = 0;
    for (int64_t p = 0; p < count; ++p) best = std::max(best, parts[p * row + size]);
    std::fill_n(sums, size, 0.f);
    for (int64_t p = 0; p < count; ++p) {
        const float* part = parts + p * row;
        if (part[size] == kHidden && part[size + 1] == 0.f) continue;
        const float weight = exp2_below(part[size] - best);
        total += part[size + 1] * weight;
        for (int64_t d = 0; d < size; d += kLanes)
            store(sums + d, load(sums + d) + load(part + d) * weight);
    }
    finish(heads, rows, query, head, sums, best, total);
}

// All queries of one layer, shared out among the team's threads. Ends with a barrier.
template <typename KV>
void attend(const Heads& heads, const Plan& plan, const Rows& rows, const Memory<KV>& keys,
            const Memory<KV>& values) {
    thread_local Desk<KV> desk;
    const int64_t count = static_cast<int64_t>(plan.items.size()) * heads.num_kv_heads;
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; ++i) {
        const Item& item = plan.items[i / heads.num_kv_heads];
        ItemReader<KV>(heads, plan, item, i % heads.num_kv_heads, keys, values, desk).read(rows);
    }
#pragma omp for schedule(static)
    for (int64_t query = 0; query < plan.paging.num_queries; ++query) {
        if (plan.num_parts(query) == 1) continue;
        desk.reach(1, heads.head_dim);
        for (int64_t head = 0; head < heads.num_heads; ++head)
            merge(heads, plan, rows, query, head, desk.sums.data());
    }
}

}  // namespace weft
