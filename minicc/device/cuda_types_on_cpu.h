// The vector types, the 16-bit floats and the functions on numbers that CUDA C++ has beyond C++: part of cuda_on_cpu.h.
#pragma once

// ---- vectors: float4 and its kin ---------------------------------------------------------------------------

#define MINICC_VECTORS(T, NAME)                                                                      \
  struct alignas(sizeof(T)) NAME##1 { T x; };                                                        \
  struct alignas(2 * sizeof(T)) NAME##2 { T x, y; };                                                 \
  struct NAME##3 { T x, y, z; };                                                                     \
  struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) NAME##4 { T x, y, z, w; };                      \
  inline NAME##1 make_##NAME##1(T x) { return {x}; }                                                 \
  inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                                         \
  inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }                                 \
  inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }

MINICC_VECTORS(float, float)
MINICC_VECTORS(double, double)
MINICC_VECTORS(signed char, char)
MINICC_VECTORS(unsigned char, uchar)
MINICC_VECTORS(short, short)
MINICC_VECTORS(unsigned short, ushort)
MINICC_VECTORS(int, int)
MINICC_VECTORS(unsigned, uint)
MINICC_VECTORS(long, long)
MINICC_VECTORS(unsigned long, ulong)
MINICC_VECTORS(long long, longlong)
MINICC_VECTORS(unsigned long long, ulonglong)

// ---- 16-bit floats: stored as bits, computed in float32 and rounded to nearest even ------------------------

namespace minicc {

inline float bits_as_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
inline uint32_t float_as_bits(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }

inline uint16_t half_of(float f) {
  uint32_t bits = float_as_bits(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);               // rounds to infinity
  if (magnitude < 0x38800000) {                                                // a subnormal number or zero
    float shifted = bits_as_float(magnitude) + 0.5f;                           // its last digit is 2^-24, as half's
    return (uint16_t)(sign | (float_as_bits(shifted) - 0x3f000000));
  }
  uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

inline float float_of_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, digits = h & 0x3ff;
  if (exponent == 31) return bits_as_float(sign | 0x7f800000 | digits << 13);
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)digits * 0x1p-24f;
  return bits_as_float(sign | (exponent + 112) << 23 | digits << 13);
}

inline uint16_t bfloat16_of(float f) {
  uint32_t bits = float_as_bits(f);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float float_of_bfloat16(uint16_t b) { return bits_as_float((uint32_t)b << 16); }

template <uint16_t (*PACK)(float), float (*UNPACK)(uint16_t)>
struct Float16 {
  uint16_t bits;
  Float16() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>> Float16(T v) : bits(PACK((float)v)) {}
  operator float() const { return UNPACK(bits); }
  Float16& operator+=(Float16 o) { return *this = Float16((float)*this + (float)o); }
  Float16& operator-=(Float16 o) { return *this = Float16((float)*this - (float)o); }
  Float16& operator*=(Float16 o) { return *this = Float16((float)*this * (float)o); }
  Float16& operator/=(Float16 o) { return *this = Float16((float)*this / (float)o); }
  friend Float16 operator+(Float16 a, Float16 b) { return a += b; }
  friend Float16 operator-(Float16 a, Float16 b) { return a -= b; }
  friend Float16 operator*(Float16 a, Float16 b) { return a *= b; }
  friend Float16 operator/(Float16 a, Float16 b) { return a /= b; }
  friend Float16 operator-(Float16 a) { a.bits ^= 0x8000; return a; }
};

}  // namespace minicc

using half = minicc::Float16<minicc::half_of, minicc::float_of_half>;
using nv_bfloat16 = minicc::Float16<minicc::bfloat16_of, minicc::float_of_bfloat16>;
using __half = half;
using __nv_bfloat16 = nv_bfloat16;
struct alignas(4) half2 { half x, y; };
struct alignas(4) nv_bfloat162 { nv_bfloat16 x, y; };
using __half2 = half2;
using __nv_bfloat162 = nv_bfloat162;

inline half2 make_half2(half x, half y) { return {x, y}; }
inline half2 __halves2half2(half x, half y) { return {x, y}; }
inline half2 __half2half2(half x) { return {x, x}; }
inline float __half2float(half h) { return h; }
inline half __float2half(float f) { return f; }
inline half __float2half_rn(float f) { return f; }
inline half __ushort_as_half(unsigned short b) { half h; h.bits = b; return h; }
inline unsigned short __half_as_ushort(half h) { return h.bits; }
inline half __hfma(half a, half b, half c) { return half(std::fma((float)a, (float)b, (float)c)); }
inline float __bfloat162float(nv_bfloat16 b) { return b; }
inline nv_bfloat16 __float2bfloat16(float f) { return f; }
inline nv_bfloat162 __halves2bfloat162(nv_bfloat16 x, nv_bfloat16 y) { return {x, y}; }

#define MINICC_BOTH(BODY) BODY(half) BODY(nv_bfloat16)
#define MINICC_BINARY(T)                                                       \
  inline T __hadd(T a, T b) { return a + b; }                                  \
  inline T __hsub(T a, T b) { return a - b; }                                  \
  inline T __hmul(T a, T b) { return a * b; }                                  \
  inline T __hdiv(T a, T b) { return a / b; }                                  \
  inline T __hneg(T a) { return -a; }                                          \
  inline T __habs(T a) { a.bits &= 0x7fff; return a; }                         \
  inline T __hmax(T a, T b) { return fmaxf(a, b); }                            \
  inline T __hmin(T a, T b) { return fminf(a, b); }                            \
  inline bool __heq(T a, T b) { return (float)a == (float)b; }                 \
  inline bool __hne(T a, T b) { return (float)a != (float)b; }                 \
  inline bool __hlt(T a, T b) { return (float)a < (float)b; }                  \
  inline bool __hle(T a, T b) { return (float)a <= (float)b; }                 \
  inline bool __hgt(T a, T b) { return (float)a > (float)b; }                  \
  inline bool __hge(T a, T b) { return (float)a >= (float)b; }                 \
  inline bool __hisnan(T a) { return std::isnan((float)a); }                   \
  inline T hexp(T a) { return std::exp((float)a); }                            \
  inline T hexp2(T a) { return std::exp2((float)a); }                          \
  inline T hlog(T a) { return std::log((float)a); }                            \
  inline T hlog2(T a) { return std::log2((float)a); }                          \
  inline T hlog10(T a) { return std::log10((float)a); }                        \
  inline T hsqrt(T a) { return std::sqrt((float)a); }                          \
  inline T hrsqrt(T a) { return 1.0f / std::sqrt((float)a); }                  \
  inline T hrcp(T a) { return 1.0f / (float)a; }                               \
  inline T hsin(T a) { return std::sin((float)a); }                            \
  inline T hcos(T a) { return std::cos((float)a); }                            \
  inline T htanh(T a) { return std::tanh((float)a); }                          \
  inline T hfloor(T a) { return std::floor((float)a); }                        \
  inline T hceil(T a) { return std::ceil((float)a); }                          \
  inline T hrint(T a) { return std::rint((float)a); }                          \
  inline T htrunc(T a) { return std::trunc((float)a); }
MINICC_BOTH(MINICC_BINARY)

#ifndef MINICC_OWN_HALF_FUNCTIONS  // TVM's source defines these only where __CUDA_ARCH__ is known
#define MINICC_EXTRA(T)                                                        \
  inline T hpow(T a, T b) { return std::pow((float)a, (float)b); }             \
  inline T htan(T a) { return std::tan((float)a); }                            \
  inline T hatan(T a) { return std::atan((float)a); }                          \
  inline T herf(T a) { return std::erf((float)a); }
MINICC_BOTH(MINICC_EXTRA)
#endif

// ---- numbers -------------------------------------------------------------------------------------------------

#define CUDART_INF_F __builtin_inff()
#define CUDART_INF __builtin_inf()
#define CUDART_NAN_F __builtin_nanf("")
#define CUDART_NAN __builtin_nan("")

inline float max(float a, float b) { return fmaxf(a, b); }
inline float min(float a, float b) { return fminf(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
template <class A, class B, class = std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value>>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point<T>::value) return std::fmax((T)a, (T)b);
  else return (T)a < (T)b ? (T)b : (T)a;
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value>>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point<T>::value) return std::fmin((T)a, (T)b);
  else return (T)b < (T)a ? (T)b : (T)a;
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __exp10f(float x) { return std::pow(10.0f, x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __log10f(float x) { return std::log10(x); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __tanf(float x) { return std::tan(x); }
inline float __powf(float x, float y) { return std::pow(x, y); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __saturatef(float x) { return std::isnan(x) ? 0.0f : std::fmin(std::fmax(x, 0.0f), 1.0f); }
inline int __float_as_int(float f) { return (int)minicc::float_as_bits(f); }
inline unsigned __float_as_uint(float f) { return minicc::float_as_bits(f); }
inline float __int_as_float(int b) { return minicc::bits_as_float((uint32_t)b); }
inline float __uint_as_float(unsigned b) { return minicc::bits_as_float(b); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
inline int __dp4a(int a, int b, int c) {
  for (int k = 0; k < 4; k++) c += (int)(signed char)(a >> 8 * k) * (int)(signed char)(b >> 8 * k);
  return c;
}
