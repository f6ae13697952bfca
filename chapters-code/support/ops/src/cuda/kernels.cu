// The kernels of ops on a GPU. Sums are gathered in a fixed order, so that a result is the same every time.

struct Conv { int batch, cin, cout, h, w, ho, wo, kernel, stride, pad; };
struct Matmul { long long batch, m, n, k, a_batch, a_row, a_column, b_batch, b_row, b_column; };
struct Norm { int batch, channels, pixels, groups, silu; float eps; };
struct Adam { float learning_rate, beta1, beta2, eps, weight_decay, correction1, correction2, scale; };

// Threads in a block.
#define THREADS 256

// ---- Products ----
//
// out(i, j) = sum over k of a(i, k) * b(k, j), where a and b need not be matrices in memory. A block makes 64 x 64
// results, each thread 4 x 4 of them, while tiles of 16 k pass through shared memory. An operand defines what it wants to know about
// its index (i or j) and about k; that is worked out once, not for every product. ALONG_K: neighbours in k are neighbours in memory.

#define TILE 64
#define STEP 16

template <class A, class B, class Out>
__device__ void ops_product(const A &a, const B &b, const Out &out, long long block, long long m, long long n, long long first, long long last) {
    __shared__ float as[STEP][TILE + 4], bs[STEP][TILE + 4];
    __shared__ typename A::Depth da[STEP];
    __shared__ typename B::Depth db[STEP];
    const int t = threadIdx.x;
    const long long columns = (n + TILE - 1) / TILE;
    const long long top = block / columns * TILE, left = block % columns * TILE;
    typename A::Index ai[4];
    typename B::Index bi[4];
    for (int r = 0; r < 4; r++) {
        ai[r] = a.index(top + (A::ALONG_K ? t / STEP + 16 * r : t % TILE), m);
        bi[r] = b.index(left + (B::ALONG_K ? t / STEP + 16 * r : t % TILE), n);
    }
    float sums[4][4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sums[i][j] = 0.0f;
    for (long long k = first; k < last; k += STEP) {
        __syncthreads(); // nobody reads the previous tiles any more
        if (t < STEP) da[t] = a.depth(k + t, last);
        else if (t < 2 * STEP) db[t - STEP] = b.depth(k + t - STEP, last);
        __syncthreads();
        for (int r = 0; r < 4; r++) {
            int ka = A::ALONG_K ? t % STEP : t / TILE + 4 * r, ia = A::ALONG_K ? t / STEP + 16 * r : t % TILE;
            int kb = B::ALONG_K ? t % STEP : t / TILE + 4 * r, jb = B::ALONG_K ? t / STEP + 16 * r : t % TILE;
            as[ka][ia] = a.at(ai[r], da[ka]);
            bs[kb][jb] = b.at(bi[r], db[kb]);
        }
        __syncthreads();
        for (int d = 0; d < STEP; d++) {
            float x[4], y[4];
            for (int i = 0; i < 4; i++) x[i] = as[d][t / 16 * 4 + i];
            for (int j = 0; j < 4; j++) y[j] = bs[d][t % 16 + 16 * j];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums[i][j] += x[i] * y[j];
        }
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            long long row = top + t / 16 * 4 + i, column = left + t % 16 + 16 * j;
            if (row < m && column < n) out.put(row, column, sums[i][j]);
        }
}

// What is in memory at the sum of two offsets, one from the index and one from k; -1 outside.
struct Offset { long long at; };
__device__ Offset ops_offset(bool inside, long long at) { Offset o; o.at = inside ? at : -1; return o; }
__device__ float ops_at(const float *p, Offset i, Offset k) { return i.at < 0 || k.at < 0 ? 0.0f : p[i.at + k.at]; }

// A matrix in memory: what is at index i and depth k is at i * index_step + k * depth_step.
template <bool ALONG>
struct Matrix {
    static const bool ALONG_K = ALONG;
    const float *p;
    long long index_step, depth_step;
    typedef Offset Index;
    typedef Offset Depth;
    __device__ Index index(long long i, long long end) const { return ops_offset(i < end, i * index_step); }
    __device__ Depth depth(long long k, long long end) const { return ops_offset(k < end, k * depth_step); }
    __device__ float at(Index i, Depth k) const { return ops_at(p, i, k); }
};

// A weight (cout, cin, taps), seen from its input: the index is the input channel, k is output channel and tap.
struct FromInput {
    static const bool ALONG_K = true;
    const float *w;
    int cin, taps;
    typedef Offset Index;
    typedef Offset Depth;
    __device__ Index index(long long c, long long end) const { return ops_offset(c < end, c * taps); }
    __device__ Depth depth(long long k, long long end) const { return ops_offset(k < end, k / taps * cin * taps + k % taps); }
    __device__ float at(Index i, Depth k) const { return ops_at(w, i, k); }
};

// Images (batch, channels, pixels): the index is the channel, k is image and pixel.
struct Channels {
    static const bool ALONG_K = true;
    const float *x;
    long long channels, pixels;
    typedef Offset Index;
    typedef Offset Depth;
    __device__ Index index(long long c, long long end) const { return ops_offset(c < end, c * pixels); }
    __device__ Depth depth(long long k, long long end) const { return ops_offset(k < end, k / pixels * channels * pixels + k % pixels); }
    __device__ float at(Index i, Depth k) const { return ops_at(x, i, k); }
};

// Where an output pixel of a convolution starts to look, and what a tap (channel and kernel position) adds to that.
struct Pixel { long long image; int row, column; };
struct Tap { long long plane; int row, column; };

__device__ Pixel ops_pixel(const Conv &s, long long j, long long end) {
    Pixel r;
    r.image = j < end ? j / ((long long)s.ho * s.wo) * s.cin * s.h * s.w : -1;
    r.row = (int)(j / s.wo % s.ho) * s.stride - s.pad;
    r.column = (int)(j % s.wo) * s.stride - s.pad;
    return r;
}

__device__ Tap ops_tap(const Conv &s, long long pixels, long long k, long long end) {
    int taps = s.kernel * s.kernel;
    Tap r;
    r.plane = k < end ? k / taps * pixels : -1;
    r.row = (int)(k % taps) / s.kernel;
    r.column = (int)(k % taps) % s.kernel;
    return r;
}

__device__ float ops_patch(const Conv &s, const float *x, Pixel p, Tap t) {
    int row = p.row + t.row, column = p.column + t.column;
    bool inside = p.image >= 0 && t.plane >= 0 && row >= 0 && row < s.h && column >= 0 && column < s.w;
    return inside ? x[p.image + t.plane + (long long)row * s.w + column] : 0.0f;
}

// The inputs of a convolution: the index is the output pixel, k is the tap.
struct Patches {
    static const bool ALONG_K = false;
    Conv s;
    const float *x;
    typedef Pixel Index;
    typedef Tap Depth;
    __device__ Index index(long long j, long long end) const { return ops_pixel(s, j, end); }
    __device__ Depth depth(long long k, long long end) const { return ops_tap(s, (long long)s.h * s.w, k, end); }
    __device__ float at(Index p, Depth t) const { return ops_patch(s, x, p, t); }
};

// The same the other way round: the index is the tap, k is the output pixel.
struct PatchesAlongPixels {
    static const bool ALONG_K = true;
    Conv s;
    const float *x;
    typedef Tap Index;
    typedef Pixel Depth;
    __device__ Index index(long long j, long long end) const { return ops_tap(s, (long long)s.h * s.w, j, end); }
    __device__ Depth depth(long long k, long long end) const { return ops_pixel(s, k, end); }
    __device__ float at(Index t, Depth p) const { return ops_patch(s, x, p, t); }
};

// The gradients that reach an input pixel: the index is that pixel, k is output channel and kernel position.
struct Reaching {
    static const bool ALONG_K = false;
    Conv s;
    const float *dy;
    typedef Pixel Index;
    typedef Tap Depth;
    __device__ Index index(long long j, long long end) const {
        Index r;
        r.image = j < end ? j / ((long long)s.h * s.w) * s.cout * s.ho * s.wo : -1;
        r.row = (int)(j / s.w % s.h) + s.pad;
        r.column = (int)(j % s.w) + s.pad;
        return r;
    }
    __device__ Depth depth(long long k, long long end) const { return ops_tap(s, (long long)s.ho * s.wo, k, end); }
    __device__ float at(Index p, Depth t) const {
        int row = p.row - t.row, column = p.column - t.column;
        if (p.image < 0 || t.plane < 0 || row < 0 || column < 0 || row % s.stride != 0 || column % s.stride != 0) return 0.0f;
        row /= s.stride;
        column /= s.stride;
        return row < s.ho && column < s.wo ? dy[p.image + t.plane + (long long)row * s.wo + column] : 0.0f;
    }
};

struct PutConv {
    Conv s;
    const float *bias, *channels, *images;
    float *y;
    __device__ void put(long long o, long long j, float sum) const {
        long long pixels = (long long)s.ho * s.wo, plane = j / pixels * s.cout + o, at = plane * pixels + j % pixels;
        if (bias) sum += bias[o];
        if (channels) sum += channels[plane];
        if (images) sum += images[at];
        y[at] = sum;
    }
};

struct PutImages {
    long long channels, pixels;
    float *x;
    int accumulate;
    __device__ void put(long long c, long long j, float sum) const {
        long long at = (j / pixels * channels + c) * pixels + j % pixels;
        x[at] = accumulate ? x[at] + sum : sum;
    }
};

struct PutMatrix {
    long long n;
    const float *bias;
    float *c, factor;
    int accumulate;
    __device__ void put(long long i, long long j, float sum) const {
        float value = factor * sum;
        if (bias) value += bias[j];
        c[i * n + j] = accumulate ? c[i * n + j] + value : value;
    }
};

extern "C" __global__ void ops_conv2d(Conv s, const float *x, const float *w, const float *bias, const float *channels, const float *images, float *y) {
    long long k = (long long)s.cin * s.kernel * s.kernel;
    Matrix<true> weight = {w, k, 1};
    Patches patches = {s, x};
    PutConv out = {s, bias, channels, images, y};
    ops_product(weight, patches, out, blockIdx.x, s.cout, (long long)s.batch * s.ho * s.wo, 0, k);
}

extern "C" __global__ void ops_conv2d_backward_input(Conv s, const float *w, const float *dy, float *dx, int accumulate) {
    int taps = s.kernel * s.kernel;
    FromInput weight = {w, s.cin, taps};
    Reaching gradients = {s, dy};
    PutImages out = {s.cin, (long long)s.h * s.w, dx, accumulate};
    ops_product(weight, gradients, out, blockIdx.x, s.cin, (long long)s.batch * s.h * s.w, 0, (long long)s.cout * taps);
}

// The sums over all pixels are long and few: `pieces` blocks share each, and ops_sum_pieces adds up what they found.
extern "C" __global__ void ops_conv2d_backward_weight(Conv s, int pieces, const float *x, const float *dy, float *partial) {
    long long m = s.cout, n = (long long)s.cin * s.kernel * s.kernel, k = (long long)s.batch * s.ho * s.wo;
    long long blocks = (m + TILE - 1) / TILE * ((n + TILE - 1) / TILE), piece = blockIdx.x / blocks;
    long long len = (k + pieces - 1) / pieces, first = piece * len, last = first + len < k ? first + len : k;
    Channels gradients = {dy, s.cout, (long long)s.ho * s.wo};
    PatchesAlongPixels patches = {s, x};
    PutMatrix out = {n, 0, partial + piece * m * n, 1.0f, 0};
    ops_product(gradients, patches, out, blockIdx.x % blocks, m, n, first, last);
}

// c (m, n) = factor * a (m, k) b (k, n) + bias (n), or added to c, for each of a batch.
extern "C" __global__ void ops_matmul(Matmul s, const float *a, const float *b, const float *bias, float *c, float factor, int accumulate) {
    long long blocks = (s.m + TILE - 1) / TILE * ((s.n + TILE - 1) / TILE), one = blockIdx.x / blocks, block = blockIdx.x % blocks;
    a += one * s.a_batch;
    b += one * s.b_batch;
    PutMatrix out = {s.n, bias, c + one * s.m * s.n, factor, accumulate};
    if (s.a_column == 1 && s.b_row == 1) {
        Matrix<true> x = {a, s.a_row, s.a_column}, y = {b, s.b_column, s.b_row};
        ops_product(x, y, out, block, s.m, s.n, 0, s.k);
    } else if (s.a_column == 1) {
        Matrix<true> x = {a, s.a_row, s.a_column};
        Matrix<false> y = {b, s.b_column, s.b_row};
        ops_product(x, y, out, block, s.m, s.n, 0, s.k);
    } else {
        Matrix<false> x = {a, s.a_row, s.a_column}, y = {b, s.b_column, s.b_row};
        ops_product(x, y, out, block, s.m, s.n, 0, s.k);
    }
}

// ---- Sums of a whole block ----

// The sum of every thread's value, the same in each.
__device__ float ops_block_sum(float value) {
    __shared__ float sums[THREADS];
    __syncthreads(); // nobody reads the previous sum any more
    sums[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    return sums[0];
}

// One block per channel.
extern "C" __global__ void ops_sum_per_channel(int batch, int channels, int pixels, const float *dy, float *db) {
    float sum = 0.0f;
    for (long long j = threadIdx.x; j < (long long)batch * pixels; j += THREADS)
        sum += dy[(j / pixels * channels + blockIdx.x) * pixels + j % pixels];
    sum = ops_block_sum(sum);
    if (threadIdx.x == 0) db[blockIdx.x] += sum;
}

// One block: the sum of squares of all, to one place.
extern "C" __global__ void ops_sum_of_squares(long long count, const float *x, float *sum) {
    float total = 0.0f;
    for (long long j = threadIdx.x; j < count; j += THREADS) total += x[j] * x[j];
    total = ops_block_sum(total);
    if (threadIdx.x == 0) *sum = total;
}

// One block per row of scores: softmax, in place.
extern "C" __global__ void ops_softmax(int n, float *scores) {
    __shared__ float largest[THREADS];
    float *row = scores + (long long)blockIdx.x * n, most = -3.4e38f, total = 0.0f;
    for (int j = threadIdx.x; j < n; j += THREADS) most = fmaxf(most, row[j]);
    largest[threadIdx.x] = most;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) largest[threadIdx.x] = fmaxf(largest[threadIdx.x], largest[threadIdx.x + half]);
        __syncthreads();
    }
    for (int j = threadIdx.x; j < n; j += THREADS) { row[j] = expf(row[j] - largest[0]); total += row[j]; }
    total = ops_block_sum(total);
    for (int j = threadIdx.x; j < n; j += THREADS) row[j] /= total;
}

// One block per row: from the gradient of the weights to that of the scores, ds = w * (dw - sum(dw * w)), in place.
extern "C" __global__ void ops_softmax_backward(int n, const float *weights, float *gradient) {
    const float *w = weights + (long long)blockIdx.x * n;
    float *g = gradient + (long long)blockIdx.x * n, dot = 0.0f;
    for (int j = threadIdx.x; j < n; j += THREADS) dot += g[j] * w[j];
    dot = ops_block_sum(dot);
    for (int j = threadIdx.x; j < n; j += THREADS) g[j] = w[j] * (g[j] - dot);
}

// One block per group: mean and 1/sqrt(variance + eps).
extern "C" __global__ void ops_norm_statistics(Norm s, const float *x, float *statistics) {
    long long len = (long long)s.channels / s.groups * s.pixels;
    const float *group = x + blockIdx.x * len;
    float sum = 0.0f, squares = 0.0f;
    for (long long j = threadIdx.x; j < len; j += THREADS) sum += group[j];
    float mean = ops_block_sum(sum) / len;
    for (long long j = threadIdx.x; j < len; j += THREADS) squares += (group[j] - mean) * (group[j] - mean);
    float variance = ops_block_sum(squares) / len;
    if (threadIdx.x == 0) {
        statistics[2 * blockIdx.x] = mean;
        statistics[2 * blockIdx.x + 1] = 1.0f / sqrtf(variance + s.eps);
    }
}

// ---- One thread per result ----

#define INDEX(count) long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; if (i >= (long long)(count)) return;

__device__ float ops_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

extern "C" __global__ void ops_norm(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, float *y) {
    INDEX((long long)s.batch * s.channels * s.pixels)
    int c = i / s.pixels % s.channels;
    long long group = i / ((long long)s.channels / s.groups * s.pixels);
    float z = (x[i] - statistics[2 * group]) * statistics[2 * group + 1] * gamma[c] + beta[c];
    y[i] = s.silu ? z * ops_sigmoid(z) : z;
}

// The gradient before SiLU.
__device__ float ops_norm_dz(Norm s, float normal, float gamma, float beta, float dy) {
    if (!s.silu) return dy;
    float z = normal * gamma + beta, g = ops_sigmoid(z);
    return dy * (g + z * g * (1.0f - g));
}

// One block per group: means of d and d * normal, where d is the gradient of the normalised input.
extern "C" __global__ void ops_norm_means(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, const float *dy, float *means) {
    int per_group = s.channels / s.groups;
    long long len = (long long)per_group * s.pixels, start = blockIdx.x * len;
    float mean = statistics[2 * blockIdx.x], scale = statistics[2 * blockIdx.x + 1], a = 0.0f, b = 0.0f;
    for (long long j = threadIdx.x; j < len; j += THREADS) {
        int c = blockIdx.x % s.groups * per_group + j / s.pixels;
        float normal = (x[start + j] - mean) * scale;
        float d = gamma[c] * ops_norm_dz(s, normal, gamma[c], beta[c], dy[start + j]);
        a += d;
        b += d * normal;
    }
    a = ops_block_sum(a);
    b = ops_block_sum(b);
    if (threadIdx.x == 0) {
        means[2 * blockIdx.x] = a / len;
        means[2 * blockIdx.x + 1] = b / len;
    }
}

// One block per channel.
extern "C" __global__ void ops_norm_backward_parameters(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, const float *dy, float *dgamma, float *dbeta) {
    int c = blockIdx.x;
    float a = 0.0f, b = 0.0f;
    for (long long k = threadIdx.x; k < (long long)s.batch * s.pixels; k += THREADS) {
        long long n = k / s.pixels, group = n * s.groups + c / (s.channels / s.groups);
        long long j = (n * s.channels + c) * s.pixels + k % s.pixels;
        float normal = (x[j] - statistics[2 * group]) * statistics[2 * group + 1];
        float dz = ops_norm_dz(s, normal, gamma[c], beta[c], dy[j]);
        a += dz * normal;
        b += dz;
    }
    a = ops_block_sum(a);
    b = ops_block_sum(b);
    if (threadIdx.x == 0) {
        dgamma[c] += a;
        dbeta[c] += b;
    }
}

extern "C" __global__ void ops_norm_backward_input(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, const float *means, const float *dy, float *dx) {
    INDEX((long long)s.batch * s.channels * s.pixels)
    int c = i / s.pixels % s.channels;
    long long group = i / ((long long)s.channels / s.groups * s.pixels);
    float normal = (x[i] - statistics[2 * group]) * statistics[2 * group + 1];
    float d = gamma[c] * ops_norm_dz(s, normal, gamma[c], beta[c], dy[i]);
    dx[i] += statistics[2 * group + 1] * (d - means[2 * group] - normal * means[2 * group + 1]);
}

extern "C" __global__ void ops_sum_pieces(long long count, int pieces, const float *partial, float *y) {
    INDEX(count)
    float sum = 0.0f;
    for (int piece = 0; piece < pieces; piece++) sum += partial[piece * count + i];
    y[i] += sum;
}

extern "C" __global__ void ops_silu(long long count, const float *x, float *y) {
    INDEX(count)
    y[i] = x[i] * ops_sigmoid(x[i]);
}

extern "C" __global__ void ops_silu_backward(long long count, const float *x, const float *dy, float *dx) {
    INDEX(count)
    float g = ops_sigmoid(x[i]);
    dx[i] += dy[i] * (g + x[i] * g * (1.0f - g));
}

extern "C" __global__ void ops_upsample(long long planes, int h, int w, int ho, int wo, const float *x, float *y) {
    INDEX(planes * ho * wo)
    int q = i % wo, p = i / wo % ho; long long plane = i / ((long long)wo * ho);
    y[i] = x[(plane * h + p * h / ho) * w + q * w / wo];
}

extern "C" __global__ void ops_upsample_backward(long long planes, int h, int w, int ho, int wo, const float *dy, float *dx) {
    INDEX(planes * h * w)
    int column = i % w, row = i / w % h; long long plane = i / ((long long)w * h);
    float sum = 0.0f;
    for (int p = (row * ho + h - 1) / h; p < ho && p * h / ho == row; p++)
        for (int q = (column * wo + w - 1) / w; q < wo && q * w / wo == column; q++) sum += dy[(plane * ho + p) * wo + q];
    dx[i] += sum;
}

extern "C" __global__ void ops_accumulate(long long count, const float *a, float *y) {
    INDEX(count)
    y[i] += a[i];
}

extern "C" __global__ void ops_copy_rows(long long rows, long long len, const float *src, long long src_stride, long long src_start, float *dst, long long dst_stride, long long dst_start, int accumulate) {
    INDEX(rows * len)
    long long row = i / len, j = i % len;
    float value = src[row * src_stride + src_start + j];
    float *target = dst + row * dst_stride + dst_start + j;
    *target = accumulate ? *target + value : value;
}

// ANCHOR: adamw
extern "C" __global__ void ops_adamw(
    long long count, Adam h, float *p, const float *gradient, float *m, float *v
) {
    INDEX(count)
    float g = gradient[i] * h.scale;
    m[i] = h.beta1 * m[i] + (1.0f - h.beta1) * g;
    v[i] = h.beta2 * v[i] + (1.0f - h.beta2) * g * g;
    float root = sqrtf(v[i] / h.correction2);
    float step = m[i] / h.correction1 / (root + h.eps) + h.weight_decay * p[i];
    p[i] -= h.learning_rate * step;
}
// ANCHOR_END: adamw

extern "C" __global__ void ops_blend(long long count, float keep, const float *x, float *y) {
    INDEX(count)
    y[i] = keep * y[i] + (1.0f - keep) * x[i];
}

