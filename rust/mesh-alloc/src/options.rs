//! What was chosen when the program started, by environment variables.
//!
//! Mesh reads them at its first allocation, so a program cannot set them for itself; the period
//! of automatic passes can be changed while it runs.
//!
//! ```
//! use mesh_alloc::options::{self, Options};
//!
//! let options = Options::current();
//! if options.meshing && options.period_ms > 0 {
//!     options::set_period_ms(50).unwrap();
//!     assert_eq!(options::period_ms(), 50);
//! }
//! ```

use crate::ctl::{self, CtlError};

/// A choice among words.
macro_rules! choices {
    ($(#[$note:meta])* $name:ident { $($(#[$each:meta])* $choice:ident = $word:literal,)* }) => {
        $(#[$note])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$each])* $choice,)*
            /// A word that this crate does not know.
            Other(&'static str),
        }

        impl $name {
            fn of_word(word: &'static str) -> Self {
                match word {
                    $($word => $name::$choice,)*
                    other => $name::Other(other),
                }
            }
        }
    };
}

choices! {
    /// How stores to objects are held back while these are copied (`MESH_BARRIER`).
    Barrier {
        /// The best one that the kernel grants.
        Auto = "auto",
        /// Only while the process has one thread.
        Single = "single",
        /// A userfaultfd that stops the kernel, too.
        Userfault = "userfault",
        /// A userfaultfd that stops the program alone.
        UserfaultUser = "userfault_user",
        /// `mprotect` and a handler of `SIGSEGV`.
        Segv = "segv",
        /// Nothing is copied beside another thread.
        None = "none",
    }
}

choices! {
    /// For what may be left to Mesh (`MESH_BACKGROUND_THREAD`, `MESH_EXPECT_FORK`).
    Switch {
        /// Mesh looks for itself.
        Auto = "auto",
        /// Never.
        Never = "0",
        /// Always.
        Always = "1",
    }
}

choices! {
    /// Order in which slots of a span are handed out (`MESH_RANDOM`).
    Random {
        /// Ascending from a random one.
        Start = "start",
        /// Random.
        Full = "full",
        /// Ascending.
        None = "none",
    }
}

/// How a value of a key becomes a field.
trait Field: Sized {
    fn read(key: &str) -> Result<Self, CtlError>;
}
impl Field for bool {
    fn read(key: &str) -> Result<Self, CtlError> {
        ctl::read::<u8>(key).map(|value| value != 0)
    }
}
impl Field for u64 {
    fn read(key: &str) -> Result<Self, CtlError> {
        ctl::read::<usize>(key).map(|value| value as u64)
    }
}
impl Field for Option<&'static str> {
    fn read(key: &str) -> Result<Self, CtlError> {
        ctl::read_text(key)
    }
}
macro_rules! fields_of_words {
    ($($name:ident)*) => {$(
        impl Field for $name {
            fn read(key: &str) -> Result<Self, CtlError> {
                ctl::read_text(key).map(|word| $name::of_word(word.unwrap_or("")))
            }
        }
    )*};
}
fields_of_words!(Barrier Switch Random);

macro_rules! options {
    ($($(#[$note:meta])* $variable:literal $name:ident: $type:ty,)*) => {
        /// All options. `libmesh(7)` has them with their defaults.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Options {
            $(
                $(#[$note])*
                #[doc = concat!("(`", $variable, "`)")]
                pub $name: $type,
            )*
        }

        impl Options {
            /// Names of the variables and of the fields.
            pub const NAMES: &'static [(&'static str, &'static str)] =
                &[$(($variable, stringify!($name)),)*];

            /// What they are in this process.
            pub fn current() -> Options {
                Self::try_current().unwrap_or_else(|error| panic!("{}", error))
            }

            /// As [`current`](Self::current), for a library that may be older than this crate.
            pub fn try_current() -> Result<Options, CtlError> {
                Ok(Options { $($name: Field::read(concat!("opt.", stringify!($name)))?,)* })
            }
        }
    };
}

options! {
    /// What is printed to standard error at exit: 0 nothing, 1 the summary, 2 also the classes.
    "MALLOCSTATS" mallocstats: u64,
    /// File that the statistics are written to as JSON at exit.
    "MESH_STATS_FILE" stats_file: Option<&'static str>,
    /// Least time between two automatic passes at the start [ms]; 0: none. See [`period_ms`].
    "MESH_PERIOD_MS" period_ms: u64,
    /// Whether a thread of Mesh's own works.
    "MESH_BACKGROUND_THREAD" background_thread: Switch,
    /// Whether that thread returns pages.
    "MESH_FREEPHYS_THREAD" freephys_thread: bool,
    /// How much of one processor meshing may use beside a busy program [%].
    "MESH_CPU_PERCENT" cpu_percent: u64,
    /// Whether spans are meshed at all.
    "MESH_MESHING" meshing: bool,
    /// How stores are held back.
    "MESH_BARRIER" barrier: Barrier,
    /// Whether the program is expected to fork.
    "MESH_EXPECT_FORK" expect_fork: Switch,
    /// Order of slots.
    "MESH_RANDOM" random: Random,
    /// Start value of the random generators; 0: one of the kernel's.
    "MESH_SEED" seed: u64,
    /// Whether each object that is freed is looked up at once.
    "MESH_CHECK_FREES" check_frees: bool,
    /// How hardened the heap is, 0 to 4.
    "MESH_SECURE" secure: u64,
}

/// Least time between two automatic passes [ms]; 0: there are none.
pub fn period_ms() -> u64 {
    ctl::read::<usize>(PERIOD).map_or(0, |period| period as u64)
}

/// Sets [`period_ms`]. `EINVAL` for more than a day.
pub fn set_period_ms(period_ms: u64) -> Result<(), CtlError> {
    ctl::write(PERIOD, period_ms as usize)
}

const PERIOD: &str = "mesh.check_period";
