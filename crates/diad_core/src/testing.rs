//! What the tests of this crate share: tolerances and the reference's golden arrays.

use std::fs::File;
use std::path::PathBuf;

use ndarray::IxDyn;
use ndarray_npy::{NpzReader, ReadableElement};

use crate::tensor::Tensor;

/// Equal within a tolerance, which the place of use gives a reason for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near {
    abs: f64,
}

impl Near {
    /// Differs by at most `abs`.
    pub(crate) const fn abs(abs: f64) -> Self {
        Self { abs }
    }

    /// Whether two numbers are equal; NaN never is.
    pub(crate) fn equal(self, got: impl Into<f64>, want: impl Into<f64>) -> bool {
        (got.into() - want.into()).abs() <= self.abs
    }

    /// Fails unless the two are equal, number by number.
    #[track_caller]
    pub(crate) fn check<A, B>(self, what: &str, got: &[A], want: &[B])
    where
        A: Copy + Into<f64>,
        B: Copy + Into<f64>,
    {
        assert_eq!(got.len(), want.len(), "{what}: number of values");
        for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
            let (got, want) = (got.into(), want.into());
            assert!(self.equal(got, want), "{what}[{index}]: got {got}, want {want} within {}", self.abs);
        }
    }
}

/// One file of golden arrays, made by running the reference.
pub(crate) struct Golden {
    arrays: NpzReader<File>,
}

impl Golden {
    /// Opens `shared/golden/{name}`: beside the checkout, or in the folder that `DIAD_SHARED` names. The arrays
    /// are not part of the checkout; without them there is a note and `None`.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let shared = std::env::var_os("DIAD_SHARED")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
        let path = shared.join("golden").join(name);
        if !path.is_file() {
            println!("skipped: no golden arrays at {}", path.display());
            return None;
        }
        let arrays = NpzReader::new(File::open(&path).unwrap()).unwrap();
        Some(Self { arrays })
    }

    /// The values of one array, row-major.
    pub(crate) fn values<T: ReadableElement + Clone>(&mut self, name: &str) -> Vec<T> {
        self.array(name).1
    }

    /// Shape and values of one array, row-major.
    pub(crate) fn array<T: ReadableElement + Clone>(&mut self, name: &str) -> (Vec<usize>, Vec<T>) {
        let array = self.arrays.by_name::<ndarray::OwnedRepr<T>, IxDyn>(name).unwrap();
        (array.shape().to_vec(), array.iter().cloned().collect())
    }

    /// One `f32` array of up to four axes; missing axes in front count 1.
    pub(crate) fn tensor(&mut self, name: &str) -> Tensor {
        let (axes, values) = self.array(name);
        let mut shape = [1; 4];
        shape[4 - axes.len()..].copy_from_slice(&axes);
        Tensor::from_vec(shape, values).unwrap()
    }
}
