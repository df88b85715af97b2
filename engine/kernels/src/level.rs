//! Which instruction set to use. A [`Level`] other than scalar exists only where the machine has it, so holding
//! one is the proof that the matching kernels may be called.

/// An instruction set found on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    /// The best this machine has.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            return Self(Set::Avx2);
        }
        Self::scalar()
    }

    /// Plain Rust, everywhere.
    #[must_use]
    pub fn scalar() -> Self {
        Self(Set::Scalar)
    }

    /// A name for logs and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2+fma+f16c",
        }
    }

    pub(crate) fn set(self) -> Set {
        self.0
    }
}
