//! Dense `f32` arrays in NCHW order, the one currency between the steps.

/// Shape `[batch, channels, height, width]`.
pub type Shape = [usize; 4];

/// A dense array in NCHW order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Vec<f32>,
}

/// A tensor that is not what a step takes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TensorError {
    /// The number of values does not fill the shape.
    #[error("shape {shape:?} takes {} values, got {got}", shape.iter().product::<usize>())]
    Length {
        /// Shape asked for.
        shape: Shape,
        /// Values given.
        got: usize,
    },
    /// A step was given another shape than it takes.
    #[error("{what}: shape is {got:?}, expected {want:?}")]
    Shape {
        /// What the tensor is.
        what: &'static str,
        /// Shape given.
        got: Shape,
        /// Shape the step takes.
        want: Shape,
    },
    /// A value is NaN or infinite.
    #[error("{what}: value {index} is {value}")]
    NonFinite {
        /// What the tensor is.
        what: &'static str,
        /// Flat index of the first bad value.
        index: usize,
        /// The bad value.
        value: f32,
    },
}

impl Tensor {
    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(shape: Shape) -> Self {
        Self { shape, data: vec![0.0; shape.iter().product()] }
    }

    /// Takes values in NCHW order.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the values do not fill the shape.
    pub fn from_vec(shape: Shape, data: Vec<f32>) -> Result<Self, TensorError> {
        if data.len() != shape.iter().product::<usize>() {
            return Err(TensorError::Length { shape, got: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// `[batch, channels, height, width]`.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The values, NCHW order.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Refuses a tensor of another shape.
    ///
    /// # Errors
    /// [`TensorError::Shape`], naming `what`.
    pub fn expect_shape(&self, what: &'static str, want: Shape) -> Result<(), TensorError> {
        if self.shape == want { Ok(()) } else { Err(TensorError::Shape { what, got: self.shape, want }) }
    }

    /// Refuses NaN and infinities: they must never reach a comparison with a threshold.
    ///
    /// # Errors
    /// [`TensorError::NonFinite`], naming `what` and the place.
    pub fn expect_finite(&self, what: &'static str) -> Result<(), TensorError> {
        match self.data.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(index) => Err(TensorError::NonFinite { what, index, value: self.data[index] }),
        }
    }
}
