// One forward pass of a decoder of the Llama kind: Llama, Mistral, Qwen2 and Qwen3.
//
// Computes in float32 whatever the weights and the cache are stored in, but for products with
// integers (quantised.h). One team of threads goes
// through all layers together, meeting at barriers, so that a call costs one start of the team.
#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "attention.h"
#include "quantised.h"

namespace weft {

struct Layer {
    const float* attention_norm;  // [C]
    const float* head_norm;       // [H + K, D], query heads first, or null
    const float* mlp_norm;        // [C]
    Weight qkv;                   // [(H + 2 K) * D, C]
    Weight out;                   // [C, H * D]
    Weight gate_up;               // [2 I, C], gate first
    Weight down;                  // [C, I]
    int64_t window;               // 0: sees everything
};

struct Decoder {
    int64_t num_layers, width, num_heads, num_kv_heads, head_dim, mlp_width;
    float norm_eps, scale;
    const Layer* layers;
    const void* embeddings;  // [V, C], of floats or of BFloat16
    int64_t embeds_bfloat16;
    const float* norm;  // [C]
    Weight head;        // [V, C]
};

struct Batch {
    Paging paging;
    int64_t num_tokens;
    const int64_t* token_ids;  // [T]
    const float* cos;          // [P, D] by position
    const float* sin;          // [P, D], the first half negated
    const int64_t* positions;  // [T]: at which keys are rotated, and queries without ``turns``
    const int64_t* turns;      // [views]: at which a query is rotated for each of its views; or
                               // null where query t has view t alone
    const int64_t* slots;      // [T]
    void* const* keys;     // by layer: [slots, K, D]
    void* const* values;
    float* const* key_scales;  // by layer: [slots, K]; null unless keys and values are of 8 bits
    float* const* value_scales;
    int64_t num_rows;
    const int64_t* rows;  // [R]: tokens whose logits are wanted
    float* logits;        // [R, V]
    float* scratch;
};

// Floats of scratch that a forward of so many tokens uses.
int64_t scratch_size(const Decoder& model, int64_t num_tokens) {
    const int64_t heads = model.num_heads + 2 * model.num_kv_heads;
    const int64_t widest = std::max({model.width, model.mlp_width, model.num_heads * model.head_dim});
    return num_tokens * (3 * model.width + heads * model.head_dim +
                         model.num_heads * model.head_dim + 3 * model.mlp_width + widest);
}

void normalise(const float* x, const float* weight, int64_t size, float eps, float* out) {
    Vec squares{};
    int64_t i = 0;
    for (; i + kLanes <= size; i += kLanes) squares += load(x + i) * load(x + i);
    float total = sum(squares);
    for (; i < size; ++i) total += x[i] * x[i];
    const float inverse = 1.f / std::sqrt(total / static_cast<float>(size) + eps);
    for (i = 0; i < size; ++i) out[i] = x[i] * inverse * weight[i];
}

// Norms of this thread's rows. Ends with a barrier.
void normalise_rows(const float* x, const float* weight, int64_t rows, int64_t size, float eps,
                    float* out) {
    const Share share(rows);
    for (int64_t r = share.begin; r < share.end; ++r)
        normalise(x + r * size, weight, size, eps, out + r * size);
#pragma omp barrier
}

// Rotates the pairs (d, d + D / 2) of one head by its token's angle.
void rotate(float* x, const float* cos, const float* sin, int64_t size) {
    const int64_t half = size / 2;
    for (int64_t d = 0; d < half; ++d) {
        const float low = x[d], high = x[d + half];
        x[d] = low * cos[d] + high * sin[d];
        x[d + half] = high * cos[d + half] + low * sin[d + half];
    }
}

// Head norms and rotation of this thread's tokens in place, queries excepted where each of their
// views turns them by itself; their keys and values into the cache. Ends with a barrier.
template <typename KV>
void place(const Decoder& model, const Layer& layer, const Batch& batch, float* qkv,
           const Memory<KV>& keys, const Memory<KV>& values) {
    const int64_t size = model.head_dim;
    const int64_t num_rotated = model.num_heads + model.num_kv_heads;
    const int64_t row = (num_rotated + model.num_kv_heads) * size;
    const int64_t first_rotated = batch.turns ? model.num_heads : 0;
    const Share share(batch.num_tokens);
    for (int64_t t = share.begin; t < share.end; ++t) {
        float* token = qkv + t * row;
        const int64_t angle = batch.positions[t] * size;
        for (int64_t h = 0; h < num_rotated; ++h) {
            float* x = token + h * size;
            if (layer.head_norm)
                normalise(x, layer.head_norm + h * size, size, model.norm_eps, x);
            if (h >= first_rotated) rotate(x, batch.cos + angle, batch.sin + angle, size);
        }
        keys.keep(batch.slots[t], token + model.num_heads * size);
        values.keep(batch.slots[t], token + num_rotated * size);
    }
#pragma omp barrier
}

// A row of queries for every view of this thread's share, turned to where it would stand among the
// view's keys: these stay as they are. Ends with a barrier.
void turn_queries(const Decoder& model, const Batch& batch, const float* qkv, int64_t qkv_row,
                  float* out) {
    const int64_t size = model.head_dim, row = model.num_heads * size;
    const Share share(batch.paging.num_views);
    for (int64_t n = share.begin; n < share.end; ++n) {
        float* to = out + n * row;
        std::copy_n(qkv + batch.paging.queries[n] * qkv_row, row, to);
        const int64_t angle = batch.turns[n] * size;
        for (int64_t d = 0; d < row; d += size)
            rotate(to + d, batch.cos + angle, batch.sin + angle, size);
    }
#pragma omp barrier
}

// silu(gate) * up of this thread's rows. Ends with a barrier.
void gate(const float* gate_up, int64_t rows, int64_t size, float* out) {
    const Share share(rows);
    for (int64_t r = share.begin; r < share.end; ++r) {
        const float *g = gate_up + r * 2 * size, *u = g + size;
        for (int64_t i = 0; i < size; i += kLanes) {
            const Vec x = load(g + i);
            store(out + r * size + i, x / (exp(-x) + 1.f) * load(u + i));
        }
    }
#pragma omp barrier
}

void multiply_any(const Weight& weight, const float* x, int64_t rows, float* room, float* out,
                  int64_t out_row, bool adds) {
    switch (weight.kind) {
        case kFloat32: return multiply<float>(weight, x, rows, room, out, out_row, adds);
        case kBFloat16: return multiply<BFloat16>(weight, x, rows, room, out, out_row, adds);
        case kInt8: return multiply_rounded<Int8>(weight, x, rows, room, out, out_row, adds);
        case kInt13: return multiply_rounded<Int13>(weight, x, rows, room, out, out_row, adds);
    }
}

// Embeddings of this thread's tokens. Ends with a barrier.
void embed(const Decoder& model, const Batch& batch, float* out) {
    const int64_t size = model.width;
    const Share share(batch.num_tokens);
    for (int64_t t = share.begin; t < share.end; ++t) {
        const int64_t row = batch.token_ids[t] * size;
        if (model.embeds_bfloat16)
            copy(static_cast<const BFloat16*>(model.embeddings) + row, size, out + t * size);
        else
            copy(static_cast<const float*>(model.embeddings) + row, size, out + t * size);
    }
#pragma omp barrier
}

template <typename KV>
Memory<KV> memory_of(const Decoder& model, void* const* rows, float* const* scales, int64_t layer) {
    return {static_cast<KV*>(rows[layer]), scales ? scales[layer] : nullptr, model.num_kv_heads,
            model.head_dim};
}

// All layers; every thread of the team calls it.
template <typename KV>
void forward(const Decoder& model, const Batch& batch, const Plan& plan, float* parts,
             float* turned) {
    const int64_t T = batch.num_tokens, C = model.width;
    const int64_t q_size = model.num_heads * model.head_dim;
    const int64_t qkv_row = q_size + 2 * model.num_kv_heads * model.head_dim;
    float* x = batch.scratch;
    float* normed = x + T * C;
    float* qkv = normed + T * C;
    float* mixed = qkv + T * qkv_row;
    float* gate_up = mixed + T * q_size;
    float* gated = gate_up + T * 2 * model.mlp_width;
    float* packed = gated + T * model.mlp_width;
    embed(model, batch, x);
    for (int64_t l = 0; l < model.num_layers; ++l) {
        const Layer& layer = model.layers[l];
        const auto keys = memory_of<KV>(model, batch.keys, batch.key_scales, l);
        const auto values = memory_of<KV>(model, batch.values, batch.value_scales, l);
        const Heads heads{model.num_heads, model.num_kv_heads, model.head_dim, model.scale,
                          layer.window};
        normalise_rows(x, layer.attention_norm, T, C, model.norm_eps, normed);
        multiply_any(layer.qkv, normed, T, packed, qkv, qkv_row, false);
        place(model, layer, batch, qkv, keys, values);
        if (batch.turns) turn_queries(model, batch, qkv, qkv_row, turned);
        const float* queries = batch.turns ? turned : qkv;
        const int64_t query_row = batch.turns ? q_size : qkv_row;
        attend(heads, plan, {queries, query_row, mixed, q_size, nullptr, parts}, keys, values);
        multiply_any(layer.out, mixed, T, packed, x, C, true);
        normalise_rows(x, layer.mlp_norm, T, C, model.norm_eps, normed);
        multiply_any(layer.gate_up, normed, T, packed, gate_up, 2 * model.mlp_width, false);
        gate(gate_up, T, model.mlp_width, gated);
        multiply_any(layer.down, gated, T, packed, x, C, true);
    }
    const Share share(batch.num_rows);
    for (int64_t r = share.begin; r < share.end; ++r)
        normalise(x + batch.rows[r] * C, model.norm, C, model.norm_eps, normed + r * C);
#pragma omp barrier
    if (batch.num_rows)
        multiply_any(model.head, normed, batch.num_rows, packed, batch.logits,
                     model.head.outputs, false);
}

// Room for the parts of all queries and heads; untouched where a query has but one.
std::unique_ptr<float[]> room_for_parts(const Plan& plan, int64_t num_heads, int64_t head_dim) {
    const Heads heads{num_heads, num_heads, head_dim, 1, 0};
    return std::unique_ptr<float[]>(
        new float[plan.query_part.back() * num_heads * heads.part_size()]);
}

}  // namespace weft

extern "C" {

int64_t weft_packed_size(int64_t outputs, int64_t inputs) {
    return (outputs + weft::kPanel - 1) / weft::kPanel * weft::kPanel * inputs;
}

void weft_pack(const void* weight, int64_t outputs, int64_t inputs, int32_t is_bfloat16,
               void* panels) {
    if (is_bfloat16)
        weft::pack(static_cast<const weft::BFloat16*>(weight), outputs, inputs,
                   static_cast<weft::BFloat16*>(panels));
    else
        weft::pack(static_cast<const float*>(weight), outputs, inputs,
                   static_cast<float*>(panels));
}

// Whether an instruction multiplies and adds integers.
int32_t weft_has_integer_products() {
#ifdef __AVX512VNNI__
    return 1;
#else
    return 0;
#endif
}

// Give freed memory back to the system: what weights leave behind is pages between others in use.
void weft_trim() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void weft_multiply(const weft::Weight* weight, const float* x, int64_t rows, float* packed,
                   float* out, int64_t out_row, int32_t adds, int32_t num_threads) {
#pragma omp parallel num_threads(num_threads)
    weft::multiply_any(*weight, x, rows, packed, out, out_row, adds);
}

int64_t weft_scratch_size(const weft::Decoder* model, int64_t num_tokens) {
    return weft::scratch_size(*model, num_tokens);
}

void weft_forward(const weft::Decoder* model, const weft::Batch* batch, int32_t is_bfloat16,
                  int32_t num_threads) {
    const weft::Plan plan(batch->paging);
    const int64_t num_heads = model->num_heads, size = model->head_dim;
    const auto parts = weft::room_for_parts(plan, num_heads, size);
    const int64_t num_turned = batch->turns ? batch->paging.num_views * num_heads * size : 0;
    const std::unique_ptr<float[]> turned(new float[num_turned]);
    const auto forward = [&](auto kind) {
        weft::forward<decltype(kind)>(*model, *batch, plan, parts.get(), turned.get());
    };
#pragma omp parallel num_threads(num_threads)
    {
        if (batch->key_scales)
            forward(int8_t{});
        else if (is_bfloat16)
            forward(weft::BFloat16{});
        else
            forward(float{});
    }
}

// Attention alone: q [num_views, H, D] has a row for every view, out [num_queries, H, D] and lse
// [num_queries, H] one for every query. The scales are null unless keys and values are of 8 bits.
void weft_attend(const weft::Heads* heads, const weft::Paging* paging, const float* q, void* keys,
                 void* values, float* key_scales, float* value_scales, float* out, float* lse,
                 int32_t is_bfloat16, int32_t num_threads) {
    const weft::Plan plan(*paging);
    const auto parts = weft::room_for_parts(plan, heads->num_heads, heads->head_dim);
    const int64_t row = heads->num_heads * heads->head_dim;
    const weft::Rows rows{q, row, out, row, lse, parts.get()};
    const auto attend = [&](auto kind) {
        using KV = decltype(kind);
        const int64_t num_heads = heads->num_kv_heads, size = heads->head_dim;
        weft::attend(*heads, plan, rows,
                     weft::Memory<KV>{static_cast<KV*>(keys), key_scales, num_heads, size},
                     weft::Memory<KV>{static_cast<KV*>(values), value_scales, num_heads, size});
    };
#pragma omp parallel num_threads(num_threads)
    {
        if (key_scales)
            attend(int8_t{});
        else if (is_bfloat16)
            attend(weft::BFloat16{});
        else
            attend(float{});
    }
}

}  // extern "C"
