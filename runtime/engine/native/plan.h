// Who reads which keys together: planned once for a forward, used by every layer.
//
// Keys are read in chunks of kChunk positions. A query goes through its chunks in order, alone or
// beside other queries whose tables hold the same blocks there: with whom is a matter of speed
// and never of bits, so the plan is free. Sorted by their block tables, the queries that share a
// prefix stand together, those that share more of it closer: one walk over the order meets every
// level of sharing.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace weft {

constexpr int64_t kChunk = 256;
// Long contexts are cut here, so that several threads can share the work of one query.
constexpr int64_t kSpan = 16 * kChunk;
// Queries of one item: what they keep between two chunks must fit the second cache.
constexpr int64_t kItemViews = 64;

// What the queries of one call may read. View n lets query queries[n] see the keys first_keys[n]
// ... num_keys[n] - 1 of row tables[n] of block_tables, as from position positions[n] of that row's
// sequence: of them the last ``window`` positions up to its own where the layer has a window.
// Queries ascend; one query may have several views, and attends to all of their keys.
//
// Key p lies in logical slot p of its table, but in a draft tree the keys from tree_bases[n] on
// are those of the query's own path, slot tree_bases[n] + j for every bit j of tree_masks[n]: sums
// run over positions, so that a path gives the same bits once it is no draft any more.
struct Paging {
    int64_t num_views, num_queries;
    const int64_t* queries;
    const int32_t* tables;
    const int64_t* positions;
    const int64_t* num_keys;
    const int64_t* first_keys;  // or null: all from 0 on
    const int32_t* block_tables;
    int64_t table_row;
    int64_t block_size;
    const int64_t* tree_bases;  // or null: no drafts
    const uint64_t* tree_masks;
    int64_t shares;  // 0: only queries of one table read together

    // Keys whose logical slot is their position.
    int64_t num_plain(int64_t view) const {
        if (!tree_bases) return num_keys[view];
        const uint64_t mask = tree_masks[view];
        return mask & (mask + 1) ? tree_bases[view] : num_keys[view];
    }
    const int32_t* table(int64_t view) const {
        return block_tables + tables[view] * table_row;
    }
};

// Views order[begin] ... order[end - 1] in one span; they share at least its first chunk.
struct Item {
    int64_t begin, end, span;
};

inline int64_t ceil_div(int64_t one, int64_t other) { return (one + other - 1) / other; }

class Plan {
  public:
    explicit Plan(const Paging& paging) : paging(paging), order(paging.num_views) {
        std::iota(order.begin(), order.end(), 0);
        if (paging.shares) sort();
        link();
        for (int64_t span = 0; cut(span); ++span) {}
        number();
    }

    int64_t num_parts(int64_t query) const { return query_part[query + 1] - query_part[query]; }

    Paging paging;
    std::vector<int64_t> order;  // of views
    std::vector<int64_t> links;  // leading chunks that order[i] reads with order[i - 1]
    std::vector<Item> items;
    std::vector<int64_t> first_part;  // by view: each span of each view gives a part
    std::vector<int64_t> query_part;  // by query: its first part; [num_queries] is their number

  private:
    void sort() {
        std::vector<int64_t> used;
        for (int64_t n = 0; n < paging.num_views; ++n) {
            if (paging.tables[n] >= static_cast<int64_t>(used.size()))
                used.resize(paging.tables[n] + 1);
            auto& blocks = used[paging.tables[n]];
            blocks = std::max(blocks, ceil_div(paging.num_keys[n], paging.block_size));
        }
        std::stable_sort(order.begin(), order.end(), [&](int64_t one, int64_t other) {
            if (paging.tables[one] == paging.tables[other])
                return paging.num_keys[one] < paging.num_keys[other];
            const int32_t *a = paging.table(one), *b = paging.table(other);
            return std::lexicographical_compare(a, a + used[paging.tables[one]], b,
                                                b + used[paging.tables[other]]);
        });
    }

    void link() {
        links.assign(order.size(), 0);
        for (size_t i = 1; i < order.size(); ++i) {
            const bool is_same = paging.tables[order[i - 1]] == paging.tables[order[i]];
            if (is_same || paging.shares) links[i] = shared_chunks(order[i - 1], order[i]);
        }
    }

    // A chunk is shared when both read it and every block of it is the same for both; of one
    // table they may see different parts of it.
    int64_t shared_chunks(int64_t one, int64_t other) const {
        const int64_t keys = std::min(paging.num_keys[one], paging.num_keys[other]);
        int64_t equal = keys;
        if (paging.tables[one] != paging.tables[other]) {
            const int32_t* table = paging.table(one);
            const int64_t blocks = ceil_div(keys, paging.block_size);
            const auto differing = std::mismatch(table, table + blocks, paging.table(other));
            equal = std::min(keys, (differing.first - table) * paging.block_size);
        } else if (paging.num_plain(one) >= keys && paging.num_plain(other) >= keys) {
            return ceil_div(keys, kChunk);
        }
        return std::min({equal, paging.num_plain(one), paging.num_plain(other)}) / kChunk;
    }

    // The items of one span; false when no context reaches it.
    bool cut(int64_t span) {
        const size_t before = items.size();
        const int64_t num_views = paging.num_views;
        for (int64_t i = 0; i < num_views; ++i) {
            if (paging.num_keys[order[i]] <= span * kSpan) continue;
            const bool joins = items.size() > before && items.back().end == i &&
                               links[i] > span * (kSpan / kChunk) &&
                               i - items.back().begin < kItemViews;
            if (joins)
                items.back().end = i + 1;
            else
                items.push_back({i, i + 1, span});
        }
        return items.size() > before;
    }

    void number() {
        first_part.resize(paging.num_views);
        query_part.assign(paging.num_queries + 1, 0);
        int64_t part = 0, query = 0;
        for (int64_t n = 0; n < paging.num_views; ++n) {
            while (query <= paging.queries[n]) query_part[query++] = part;
            first_part[n] = part;
            part += ceil_div(paging.num_keys[n], kSpan);
        }
        std::fill(query_part.begin() + query, query_part.end(), part);
    }
};

}  // namespace weft
