// The kernels of ops on a GPU, each as plain as its formula: one thread per result, sums gathered in a fixed order, so
// that a result is the same every time.

struct Conv { int batch, cin, cout, h, w, ho, wo, kernel, stride, pad; };
struct Norm { int batch, channels, pixels, groups, silu; float eps; };
struct Adam { float learning_rate, beta1, beta2, eps, weight_decay, correction1, correction2, scale; };

#define INDEX(count) long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; if (i >= (long long)(count)) return;

__device__ float ops_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

extern "C" __global__ void ops_conv2d(Conv s, const float *x, const float *w, const float *bias, const float *channels, const float *images, float *y) {
    INDEX((long long)s.batch * s.cout * s.ho * s.wo)
    int q = i % s.wo, p = i / s.wo % s.ho, o = i / (s.wo * s.ho) % s.cout, n = i / ((long long)s.wo * s.ho * s.cout);
    float sum = 0.0f;
    if (bias) sum += bias[o];
    if (channels) sum += channels[n * s.cout + o];
    if (images) sum += images[i];
    for (int c = 0; c < s.cin; c++)
        for (int ki = 0; ki < s.kernel; ki++) {
            int row = p * s.stride + ki - s.pad;
            if (row < 0 || row >= s.h) continue;
            for (int kj = 0; kj < s.kernel; kj++) {
                int column = q * s.stride + kj - s.pad;
                if (column < 0 || column >= s.w) continue;
                sum += x[(((long long)n * s.cin + c) * s.h + row) * s.w + column] * w[((o * s.cin + c) * s.kernel + ki) * s.kernel + kj];
            }
        }
    y[i] = sum;
}

extern "C" __global__ void ops_conv2d_backward_input(Conv s, const float *w, const float *dy, float *dx) {
    INDEX((long long)s.batch * s.cin * s.h * s.w)
    int column = i % s.w, row = i / s.w % s.h, c = i / (s.w * s.h) % s.cin, n = i / ((long long)s.w * s.h * s.cin);
    float sum = 0.0f;
    for (int ki = 0; ki < s.kernel; ki++) {
        int p = row + s.pad - ki;
        if (p < 0 || p % s.stride != 0 || p / s.stride >= s.ho) continue;
        for (int kj = 0; kj < s.kernel; kj++) {
            int q = column + s.pad - kj;
            if (q < 0 || q % s.stride != 0 || q / s.stride >= s.wo) continue;
            for (int o = 0; o < s.cout; o++)
                sum += dy[(((long long)n * s.cout + o) * s.ho + p / s.stride) * s.wo + q / s.stride]
                     * w[((o * s.cin + c) * s.kernel + ki) * s.kernel + kj];
        }
    }
    dx[i] += sum;
}

extern "C" __global__ void ops_conv2d_backward_weight(Conv s, const float *x, const float *dy, float *dw) {
    INDEX((long long)s.cout * s.cin * s.kernel * s.kernel)
    int kj = i % s.kernel, ki = i / s.kernel % s.kernel, c = i / (s.kernel * s.kernel) % s.cin, o = i / (s.kernel * s.kernel * s.cin);
    float sum = 0.0f;
    for (int n = 0; n < s.batch; n++)
        for (int p = 0; p < s.ho; p++) {
            int row = p * s.stride + ki - s.pad;
            if (row < 0 || row >= s.h) continue;
            for (int q = 0; q < s.wo; q++) {
                int column = q * s.stride + kj - s.pad;
                if (column < 0 || column >= s.w) continue;
                sum += x[(((long long)n * s.cin + c) * s.h + row) * s.w + column] * dy[(((long long)n * s.cout + o) * s.ho + p) * s.wo + q];
            }
        }
    dw[i] += sum;
}

extern "C" __global__ void ops_sum_per_channel(int batch, int channels, int pixels, const float *dy, float *db) {
    INDEX(channels)
    float sum = 0.0f;
    for (int n = 0; n < batch; n++)
        for (int p = 0; p < pixels; p++) sum += dy[((long long)n * channels + i) * pixels + p];
    db[i] += sum;
}

extern "C" __global__ void ops_linear(int rows, int inp, int out, const float *x, const float *w, const float *b, int has_bias, float *y) {
    INDEX((long long)rows * out)
    int o = i % out; long long r = i / out;
    float sum = has_bias ? b[o] : 0.0f;
    for (int k = 0; k < inp; k++) sum += x[r * inp + k] * w[(long long)o * inp + k];
    y[i] = sum;
}

extern "C" __global__ void ops_linear_backward_input(int rows, int inp, int out, const float *w, const float *dy, float *dx) {
    INDEX((long long)rows * inp)
    int k = i % inp; long long r = i / inp;
    float sum = 0.0f;
    for (int o = 0; o < out; o++) sum += dy[r * out + o] * w[(long long)o * inp + k];
    dx[i] += sum;
}

extern "C" __global__ void ops_linear_backward_weight(int rows, int inp, int out, const float *x, const float *dy, float *dw) {
    INDEX((long long)out * inp)
    int k = i % inp, o = i / inp;
    float sum = 0.0f;
    for (int r = 0; r < rows; r++) sum += dy[(long long)r * out + o] * x[(long long)r * inp + k];
    dw[i] += sum;
}

// Mean and 1/sqrt(variance + eps) of every group.
extern "C" __global__ void ops_norm_statistics(Norm s, const float *x, float *statistics) {
    INDEX(s.batch * s.groups)
    long long len = (long long)s.channels / s.groups * s.pixels;
    const float *group = x + i * len;
    float mean = 0.0f, variance = 0.0f;
    for (long long j = 0; j < len; j++) mean += group[j];
    mean /= len;
    for (long long j = 0; j < len; j++) variance += (group[j] - mean) * (group[j] - mean);
    statistics[2 * i] = mean;
    statistics[2 * i + 1] = 1.0f / sqrtf(variance / len + s.eps);
}

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

// Means over each group of d and d * normal, where d is the gradient of the normalised input.
extern "C" __global__ void ops_norm_means(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, const float *dy, float *means) {
    INDEX(s.batch * s.groups)
    int per_group = s.channels / s.groups;
    long long len = (long long)per_group * s.pixels;
    float a = 0.0f, b = 0.0f;
    for (long long j = 0; j < len; j++) {
        int c = i % s.groups * per_group + j / s.pixels;
        float normal = (x[i * len + j] - statistics[2 * i]) * statistics[2 * i + 1];
        float d = gamma[c] * ops_norm_dz(s, normal, gamma[c], beta[c], dy[i * len + j]);
        a += d;
        b += d * normal;
    }
    means[2 * i] = a / len;
    means[2 * i + 1] = b / len;
}

extern "C" __global__ void ops_norm_backward_input(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, const float *means, const float *dy, float *dx) {
    INDEX((long long)s.batch * s.channels * s.pixels)
    int c = i / s.pixels % s.channels;
    long long group = i / ((long long)s.channels / s.groups * s.pixels);
    float normal = (x[i] - statistics[2 * group]) * statistics[2 * group + 1];
    float d = gamma[c] * ops_norm_dz(s, normal, gamma[c], beta[c], dy[i]);
    dx[i] += statistics[2 * group + 1] * (d - means[2 * group] - normal * means[2 * group + 1]);
}

extern "C" __global__ void ops_norm_backward_parameters(Norm s, const float *x, const float *gamma, const float *beta, const float *statistics, const float *dy, float *dgamma, float *dbeta) {
    INDEX(s.channels)
    float a = 0.0f, b = 0.0f;
    for (int n = 0; n < s.batch; n++) {
        long long group = (long long)n * s.groups + i / (s.channels / s.groups);
        for (int p = 0; p < s.pixels; p++) {
            long long j = ((long long)n * s.channels + i) * s.pixels + p;
            float normal = (x[j] - statistics[2 * group]) * statistics[2 * group + 1];
            float dz = ops_norm_dz(s, normal, gamma[i], beta[i], dy[j]);
            a += dz * normal;
            b += dz;
        }
    }
    dgamma[i] += a;
    dbeta[i] += b;
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

// Row i of a head's weights: the softmax over j of q_i k_j / sqrt(d).
extern "C" __global__ void ops_attention_weights(int heads, int d, int n, const float *q, const float *k, float *weights) {
    INDEX((long long)heads * n)
    long long head = i / n; int row = i % n;
    q += head * d * n; k += head * d * n;
    float *w = weights + i * n;
    float largest = -3.4e38f, total = 0.0f;
    for (int j = 0; j < n; j++) {
        float score = 0.0f;
        for (int c = 0; c < d; c++) score += q[c * n + row] * k[c * n + j];
        w[j] = score / sqrtf((float)d);
        largest = fmaxf(largest, w[j]);
    }
    for (int j = 0; j < n; j++) { w[j] = expf(w[j] - largest); total += w[j]; }
    for (int j = 0; j < n; j++) w[j] /= total;
}

extern "C" __global__ void ops_attention(int heads, int d, int n, const float *v, const float *weights, float *y) {
    INDEX((long long)heads * d * n)
    int row = i % n; long long head = i / ((long long)d * n);
    const float *w = weights + (head * n + row) * n, *values = v + i / n * n;
    float sum = 0.0f;
    for (int j = 0; j < n; j++) sum += w[j] * values[j];
    y[i] = sum;
}

// Gradient of the scores: ds = w * (dw - sum(dw * w)).
extern "C" __global__ void ops_attention_scores_backward(int heads, int d, int n, const float *v, const float *weights, const float *dy, float *ds) {
    INDEX((long long)heads * n)
    long long head = i / n; int row = i % n;
    v += head * d * n; dy += head * d * n;
    const float *w = weights + i * n;
    float *out = ds + i * n, dot = 0.0f;
    for (int j = 0; j < n; j++) {
        float sum = 0.0f;
        for (int c = 0; c < d; c++) sum += dy[c * n + row] * v[c * n + j];
        out[j] = sum;
        dot += sum * w[j];
    }
    for (int j = 0; j < n; j++) out[j] = w[j] * (out[j] - dot);
}

extern "C" __global__ void ops_attention_backward(int heads, int d, int n, const float *q, const float *k, const float *weights, const float *ds, const float *dy, float *dq, float *dk, float *dv) {
    INDEX((long long)heads * d * n)
    int column = i % n; long long head = i / ((long long)d * n), start = i / n * n;
    const float *w = weights + head * n * n, *s = ds + head * n * n;
    float scale = 1.0f / sqrtf((float)d), a = 0.0f, b = 0.0f, c = 0.0f;
    for (int j = 0; j < n; j++) {
        a += k[start + j] * s[(long long)column * n + j];
        b += q[start + j] * s[(long long)j * n + column];
        c += dy[start + j] * w[(long long)j * n + column];
    }
    dq[i] += scale * a;
    dk[i] += scale * b;
    dv[i] += c;
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

extern "C" __global__ void ops_adamw(long long count, Adam h, float *p, const float *gradient, float *m, float *v) {
    INDEX(count)
    float g = gradient[i] * h.scale;
    m[i] = h.beta1 * m[i] + (1.0f - h.beta1) * g;
    v[i] = h.beta2 * v[i] + (1.0f - h.beta2) * g * g;
    p[i] -= h.learning_rate * (m[i] / h.correction1 / (sqrtf(v[i] / h.correction2) + h.eps) + h.weight_decay * p[i]);
}

extern "C" __global__ void ops_blend(long long count, float keep, const float *x, float *y) {
    INDEX(count)
    y[i] = keep * y[i] + (1.0f - keep) * x[i];
}

extern "C" __global__ void ops_sum_of_squares(long long count, int pieces, const float *x, float *sums) {
    INDEX(pieces)
    double sum = 0.0;
    for (long long j = i; j < count; j += pieces) sum += (double)x[j] * x[j];
    sums[i] = sum;
}
