// Whether the best of the scores that tensor cores compute belongs to the nearest centre.
//
// Rounding. All in units of the frame: x and c are a row and a centre less the origin, times its
// power of two; the true score S = x.c - |c|^2 / 2 orders centres as their squared distances
// t = |x|^2 - 2 S do, in reverse. x is replaced by x' and c by c', of one half each (or of two,
// high + low), and
//   x.c - x'.c' = (x - x').c + x'.(c - c')  is at most  |x - x'| |c| + |x'| |c - c'|.
// Both residuals are measured: |x - x'| of this row, and `coarse` or `fine` >= |c - c'| / C of all
// centres, where C = |c| + ABOUT.
//
// The sum starts at -|c|^2 / 2 and adds `width` products; each addition may err by MMA_UNIT of B,
// which bounds every partial sum: B = |x'| C + C^2 / 2 (up to 1.01, as |c'| may be a little longer
// than C). Where products are summed `added` at a time from 0 and float32 adds these sums, the former
// err by that many units of |x'| C together (Cauchy-Schwarz), the latter by a quarter of one each.
// 16 units more pay for rounding |c|^2 / 2 and the last addition. The number of a centre in its
// tile takes the place of a score's lowest bits: COLUMNS / 4 times 2^-23 of B. With two halves the
// product low.low is left out, at most |low of x| |low of c|, and the two others are summed apart:
// their 2 width additions err by MMA_UNIT of what they are at most, |x'| |low of c| + |low of x| C.
// So |computed - S| is at most
//   E(C) = C (p + unit C / 2),  p and unit of the row, made below; it grows with C.
//
// Let b be the best by computed scores. A centre j that is as near has |c_j| <= |x| + sqrt(t_j) and
// t_j <= t_b, so C_j <= C* = min(longest |c|, |x| + sqrt(t_b)) + ABOUT, and its computed score is at
// least that of b - E(C_b) - E(C*). If the runner-up's is lower there is no such j. t_b is at
// most |x|^2 - 2 (computed - E(C_b)). The costs that decide labels are sums of d squares in float64
// and err by (d + 2) 2^-53 of t: `deciding`. float32 arithmetic here errs by less than what the
// factors 1.01, 1.0001 and 1e-6 or 1e-7 add. FLOOR pays for numbers below what float32 holds
// (2^-30 a feature: the scale is at most 2^96), NEGLIGIBLE for those below what float64 holds. A score
// so near 0 that its tile bits make it a number that a GPU takes for 0 decides nothing; nor does a
// comparison with NaN.

constexpr float ABOUT = 9.765625e-04f;       // 2^-10
constexpr float FLOOR = 5.9604645e-08f;      // 2^-24
constexpr float NEGLIGIBLE = 8.6736174e-19f;  // 2^-60
constexpr float HALF_MOST = 65504;

// Squared lengths of a row's high halves, and of what they and what both halves leave.
template <typename Wide>
struct Lengths {
  Wide kept, lost, left;
};

// Of all centres: the longest, and the most that one half and two leave of one, relative to C.
struct Frame {
  float longest, coarse, fine;
};

template <bool SPLIT, int COLUMNS>
struct Certificate {
  float length, p, unit, deciding;

  // Of `width` products, `added` at a time are summed on tensor cores.
  template <typename Wide>
  __device__ __forceinline__ Certificate(const Lengths<Wide>& of, const Frame& frame, int width,
                                         int added) {
    unit = (added + width / added + 16) * MMA_UNIT + COLUMNS / 4 * 1.1920929e-07f;
    deciding = (width + 8) * 4.4408921e-16f;  // 2^-51
    const float kept = sqrtf(float(of.kept));
    const float rounded = kept * 1.1920929e-07f + FLOOR;  // of subtracting the origin
    const float lost = sqrtf(float(of.lost)) + rounded;
    length = (1 + width * 1e-7f) * (kept + lost);
    if (SPLIT) {
      const float left = sqrtf(float(of.left)) + rounded, low = lost + left;
      const float other = frame.coarse + frame.fine, reach = kept + low;
      p = left + reach * (frame.fine + unit) + low * other +
          2 * width * MMA_UNIT * (reach * other + low);
    } else {
      p = lost + kept * (frame.coarse + unit);
    }
  }
  __device__ __forceinline__ float error(float c) const {
    return 1.01f * c * (p + 0.5f * unit * c);
  }
  // Whether the best score, of a centre of that length, is certainly the nearest one's.
  __device__ __forceinline__ bool decides(float best, float second, float extent,
                                          const Frame& frame) const {
    const float own = error(1.0001f * extent + ABOUT), square = length * length;
    const float t = fmaxf(square - 2 * best + 2 * own + 1e-6f * (square + fabsf(best)), 0);
    const float far = fminf(frame.longest, 1.0001f * (length + sqrtf(t))) + ABOUT;
    const float margin = own + error(far) + deciding * t + NEGLIGIBLE;
    return best - second > margin && fabsf(best) > NEGLIGIBLE;
  }
};
