//! The arithmetic between the matrix products, in place and with the processor's widest
//! registers.
//!
//! Loops keep one accumulator per lane: the compiler may not reorder a plain sum of
//! floats, and would do it one by one.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result};
use pulp::Arch;

/// Lanes of the widest register there is (AVX-512).
const LANES: usize = 16;

/// Adds a bias to every row.
pub(crate) struct AddBias<'a>(pub(crate) &'a [f32]);

/// Adds a bias to every row and applies GELU (in its form with the error function).
pub(crate) struct AddBiasGelu<'a>(pub(crate) &'a [f32]);

/// Softmax of every row of `width`, after scaling by `scale`.
pub(crate) struct ScaledSoftmax {
    pub(crate) width: usize,
    pub(crate) scale: f32,
}

/// Adds a bias and another tensor, then brings each row to mean 0 and variance 1 and
/// applies weight and bias of the norm.
pub(crate) struct AddNorm<'a> {
    pub(crate) added: &'a [f32],
    pub(crate) norm: &'a Norm,
}

/// The weights of a layer norm.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

impl Norm {
    /// Applies the norm to one row.
    pub(crate) fn apply(&self, row: &mut [f32]) {
        Arch::new().dispatch(
            #[inline(always)]
            || normalise(row, self),
        );
    }
}

impl InplaceOp1 for AddBias<'_> {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let data = dense(storage, layout)?;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for row in data.chunks_exact_mut(self.0.len()) {
                    for (x, bias) in row.iter_mut().zip(self.0) {
                        *x += bias;
                    }
                }
            },
        );
        Ok(())
    }
}

impl InplaceOp1 for AddBiasGelu<'_> {
    fn name(&self) -> &'static str {
        "add-bias-gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let data = dense(storage, layout)?;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for row in data.chunks_exact_mut(self.0.len()) {
                    for (x, bias) in row.iter_mut().zip(self.0) {
                        *x = gelu(*x + bias);
                    }
                }
            },
        );
        Ok(())
    }
}

impl InplaceOp1 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let data = dense(storage, layout)?;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for row in data.chunks_exact_mut(self.width) {
                    softmax(row, self.scale);
                }
            },
        );
        Ok(())
    }
}

impl InplaceOp2 for AddNorm<'_> {
    fn name(&self) -> &'static str {
        "add-norm"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<()> {
        let data = dense(storage, layout)?;
        let residual = residual.as_slice::<f32>()?;
        let residual = match residual_layout.contiguous_offsets() {
            Some((from, to)) if to - from == data.len() => &residual[from..to],
            _ => candle_core::bail!("add-norm needs two dense tensors of one shape"),
        };
        let width = self.added.len();
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let rows = data.chunks_exact_mut(width).zip(residual.chunks_exact(width));
                for (row, other) in rows {
                    for ((x, bias), other) in row.iter_mut().zip(self.added).zip(other) {
                        *x += bias + other;
                    }
                    normalise(row, self.norm);
                }
            },
        );
        Ok(())
    }
}

/// The numbers of a tensor that lies dense in memory.
fn dense<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let Some((from, to)) = layout.contiguous_offsets() else {
        candle_core::bail!("the tensor does not lie dense in memory");
    };
    match storage {
        CpuStorage::F32(data) => Ok(&mut data[from..to]),
        _ => candle_core::bail!("the tensor is not of f32"),
    }
}

#[inline(always)]
fn normalise(row: &mut [f32], norm: &Norm) {
    let count = row.len() as f32;
    let mean = sum(row, |x| x) / count;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + norm.eps).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(&norm.weight).zip(&norm.bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += of(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let most = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    for x in row.iter_mut() {
        *x = exp((*x - most) * scale);
    }
    let total = 1.0 / sum(row, |x| x);
    for x in row.iter_mut() {
        *x *= total;
    }
}

/// `e^x` for x of at most 0 or little above: 2 to the whole part of `x / ln 2`, times a
/// polynomial for the rest (the coefficients of Cephes' `expf`; error about 1e-7).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, so that the difference keeps its bits.
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_65;
    p = p * r + 0.5;
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

/// GELU as BERT has it: `x / 2 * (1 + erf(x / sqrt 2))`, the error function by
/// Abramowitz and Stegun, formula 7.1.26 (error at most 1.5e-7).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152;
    p = p * t + 1.421_413_7;
    p = p * t - 0.284_496_74;
    p = p * t + 0.254_829_6;
    let erf = (1.0 - p * t * exp(-z * z)).copysign(x);
    0.5 * x * (1.0 + erf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for step in 0..87_000 {
            let x = -(step as f32) / 1000.0;
            let wanted = x.exp();
            assert!((exp(x) - wanted).abs() <= wanted * 3e-7, "{x}");
        }
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn gelu_has_its_known_values() {
        // From the definition, with the error function to 9 digits.
        for (x, wanted) in [
            (0.0_f32, 0.0_f32),
            (1.0, 0.841_344_8),
            (-1.0, -0.158_655_25),
            (2.0, 1.954_499_7),
            (-3.0, -0.004_049_694),
            (9.0, 9.0),
        ] {
            assert!((gelu(x) - wanted).abs() < 1e-6, "{x}: {} instead of {wanted}", gelu(x));
        }
    }

    #[test]
    fn a_row_of_softmax_adds_up_to_one() {
        let mut row: Vec<f32> = (0..37).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
        softmax(&mut row, 0.25);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
