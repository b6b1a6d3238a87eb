// Causal attention over paged keys and values, read where they lie.
//
// A work item is one key-value head and up to kTileQueries consecutive queries of one sequence,
// with all query heads of that key-value head: what it reads of the cache serves all its rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "vectors.h"

namespace weft {

constexpr int64_t kTileQueries = 4;
constexpr float kHidden = -std::numeric_limits<float>::infinity();

// What the queries of one call may read. Query t stands at position positions[t] of its sequence
// and sees its keys 0 ... positions[t], the last ``window`` of them where that is not 0. Key p
// lies in logical slot p of the sequence's table, but for a query of a draft tree (an item of its
// own) the keys from tree_bases[t] on are those of its path, slot tree_bases[t] + j for every
// bit j of tree_masks[t]: sums run over positions, so that a path gives the same bits once it is
// no draft any more.
struct Paging {
    int64_t num_items;           // of one key-value head
    const int64_t* item_query;   // first query of each item
    const int64_t* item_height;  // its queries
    const int32_t* item_table;   // row of block_tables
    const int64_t* positions;
    const int32_t* block_tables;
    int64_t table_row;
    int64_t block_size;
    const int64_t* tree_bases;   // or null: no drafts
    const uint64_t* tree_masks;
};

// Logical slots of the keys of an item.
struct Path {
    int64_t base = std::numeric_limits<int64_t>::max();
    int64_t nodes[64];

    Path(const Paging& paging, int64_t item) {
        if (!paging.tree_bases || paging.item_height[item] > 1) return;
        base = paging.tree_bases[paging.item_query[item]];
        uint64_t left = paging.tree_masks[paging.item_query[item]];
        for (int64_t* node = nodes; left; left &= left - 1) *node++ = base + __builtin_ctzll(left);
    }
    int64_t slot(int64_t position) const {
        return position < base ? position : nodes[position - base];
    }
};

struct Heads {
    int64_t num_heads, num_kv_heads, head_dim;
    float scale;
    int64_t window;
};

template <typename KV>
class KeyReader {
  public:
    KeyReader(const KV* memory, const int32_t* table, const Path& path, const Paging& paging,
              const Heads& heads, int64_t kv_head)
        : memory_(memory + kv_head * heads.head_dim), table_(table), path_(path),
          size_(paging.block_size), stride_(heads.num_kv_heads * heads.head_dim) {}

    const KV* at(int64_t position) const {
        const int64_t slot = path_.slot(position);
        return memory_ + (table_[slot / size_] * size_ + slot % size_) * stride_;
    }

  private:
    const KV* memory_;
    const int32_t* table_;
    const Path& path_;
    int64_t size_, stride_;
};

// scores[r][j] = scale * (query r . key first + j), for the keys first ... last; what stands
// beyond them repeats the last key.
template <int PARTS, typename KV>
void score(const float* const* queries, int64_t rows, const KeyReader<KV>& keys, int64_t first,
           int64_t last, float scale, float* scores, int64_t scores_row) {
    for (int64_t start = first; start <= last; start += kLanes) {
        const KV* key[kLanes];
        for (int j = 0; j < kLanes; ++j) key[j] = keys.at(std::min(start + j, last));
        for (int64_t r = 0; r < rows; ++r) {
            Vec query[PARTS], products[kLanes];
            for (int d = 0; d < PARTS; ++d) query[d] = load(queries[r] + d * kLanes);
            for (int j = 0; j < kLanes; ++j) {
                products[j] = query[0] * load(key[j]);
                for (int d = 1; d < PARTS; ++d)
                    products[j] += query[d] * load(key[j] + d * kLanes);
            }
            store(scores + r * scores_row + (start - first), sums(products) * scale);
        }
    }
}

// Turn scores begin ... end - 1 into weights that sum to 1, all others of the padded row into 0.
inline void softmax(float* scores, int64_t begin, int64_t end, int64_t padded) {
    std::fill(scores, scores + begin, kHidden);
    std::fill(scores + end, scores + padded, kHidden);
    Vec best = all(kHidden);
    for (int64_t j = 0; j < padded; j += kLanes) best = greater(load(scores + j), best);
    const Vec shift = all(largest(best));
    Vec total{};
    for (int64_t j = 0; j < padded; j += kLanes) {
        const Vec value = load(scores + j);
        const Vec weight = value == all(kHidden) ? Vec{} : exp(value - shift);
        total += weight;
        store(scores + j, weight);
    }
    const float inverse = 1.f / sum(total);
    for (int64_t j = 0; j < padded; j += kLanes) store(scores + j, load(scores + j) * inverse);
}

// out[r] = sum over j of weights[r][j] * value first + j, for ROWS rows at once.
template <int PARTS, int ROWS, typename KV>
void mix(const float* weights, int64_t weights_row, const KeyReader<KV>& values, int64_t first,
         int64_t last, float* const* out) {
    Vec sums[ROWS][PARTS] = {};
    for (int64_t position = first; position <= last; ++position) {
        const KV* value = values.at(position);
        Vec parts[PARTS];
        for (int d = 0; d < PARTS; ++d) parts[d] = load(value + d * kLanes);
        for (int r = 0; r < ROWS; ++r) {
            const Vec weight = all(weights[r * weights_row + position - first]);
            for (int d = 0; d < PARTS; ++d) sums[r][d] += weight * parts[d];
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int d = 0; d < PARTS; ++d) store(out[r] + d * kLanes, sums[r][d]);
}

// One item: queries start at q, tokens q_row floats apart; results likewise in out.
template <int PARTS, typename KV>
void attend_item(const Heads& heads, const Paging& paging, int64_t item, int64_t kv_head,
                 const float* q, int64_t q_row, const KV* keys, const KV* values, float* out,
                 int64_t out_row, std::vector<float>& scratch) {
    const int64_t begin = paging.item_query[item], height = paging.item_height[item];
    const int64_t group = heads.num_heads / heads.num_kv_heads, rows = height * group;
    const int64_t last = paging.positions[begin + height - 1];
    const auto first_of = [&](int64_t position) {
        return heads.window ? std::max<int64_t>(0, position - heads.window + 1) : 0;
    };
    // On a whole vector, so that a key stands in the same lane whatever shares its item.
    const int64_t first = first_of(paging.positions[begin]) / kLanes * kLanes;
    const int64_t padded = (last - first + kLanes) / kLanes * kLanes;
    const int32_t* table = paging.block_tables + paging.item_table[item] * paging.table_row;
    if (static_cast<int64_t>(scratch.size()) < rows * padded) scratch.resize(rows * padded);

    std::vector<const float*> queries(rows);
    std::vector<float*> results(rows);
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t head = kv_head * group + r % group, token = begin + r / group;
        queries[r] = q + token * q_row + head * heads.head_dim;
        results[r] = out + token * out_row + head * heads.head_dim;
    }
    float* scores = scratch.data();
    const Path path(paging, item);
    const KeyReader<KV> key_reader(keys, table, path, paging, heads, kv_head);
    const KeyReader<KV> value_reader(values, table, path, paging, heads, kv_head);
    score<PARTS>(queries.data(), rows, key_reader, first, last, heads.scale, scores, padded);
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t position = paging.positions[begin + r / group];
        softmax(scores + r * padded, first_of(position) - first, position + 1 - first, padded);
    }
    int64_t r = 0;
    constexpr int kRows = PARTS <= 4 ? 4 : 2;
    for (; r + kRows <= rows; r += kRows)
        mix<PARTS, kRows>(scores + r * padded, padded, value_reader, first, last, &results[r]);
    for (; r < rows; ++r)
        mix<PARTS, 1>(scores + r * padded, padded, value_reader, first, last, &results[r]);
}

// All items of one layer, shared out among the team's threads. Ends with a barrier.
template <typename KV>
void attend(const Heads& heads, const Paging& paging, const float* q, int64_t q_row,
            const KV* keys, const KV* values, float* out, int64_t out_row) {
    thread_local std::vector<float> scratch;
    const int64_t count = paging.num_items * heads.num_kv_heads;
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; ++i) {
        const int64_t item = i / heads.num_kv_heads, kv_head = i % heads.num_kv_heads;
        switch (heads.head_dim / kLanes) {
#define WEFT_CASE(P)                                                                          \
    case P:                                                                                   \
        attend_item<P>(heads, paging, item, kv_head, q, q_row, keys, values, out, out_row,    \
                       scratch);                                                              \
        break;
            WEFT_CASE(1) WEFT_CASE(2) WEFT_CASE(4) WEFT_CASE(6) WEFT_CASE(8) WEFT_CASE(16)
#undef WEFT_CASE
        }
    }
}

}  // namespace weft
