//! The fields of `Options` and of the statistics are those of the library's tables. Not part of the
//! published crate.

use mesh_alloc::options::Options;
use mesh_alloc::stats::{ClassStatistics, Statistics};
use std::collections::BTreeSet;

const OPTIONS: &str = include_str!("../../mesh-sys/mesh/src/config/options.def");
const STATISTICS: &str = include_str!("../../mesh-sys/mesh/src/control/statistics.def");

/// The arguments of each row of a table, without quotes, as far as commas separate them.
fn rows<'a>(table: &'a str, row: &'a str) -> impl Iterator<Item = Vec<&'a str>> + 'a {
    let code = table.lines().filter(|line| !line.starts_with("//"));
    code.filter_map(move |line| line.strip_prefix(row)?.strip_prefix('(')).map(|arguments| {
        arguments.split(',').map(|argument| argument.trim().trim_matches('"')).collect()
    })
}

#[test]
fn options_are_those_of_the_table() {
    let table: BTreeSet<_> = rows(OPTIONS, "MESH_OPTION").map(|row| (row[2], row[1])).collect();
    assert_eq!(table, Options::NAMES.iter().copied().collect());
    assert!(table.contains(&("MESH_PERIOD_MS", "period_ms")));
}

#[test]
fn options_can_be_read() {
    let options = Options::try_current().unwrap();
    assert!(options.cpu_percent >= 1);
    if std::env::var_os("MESH_SECURE").is_none() {
        assert_eq!(options.secure, if cfg!(feature = "secure") { 4 } else { 0 });
    }
}

#[test]
fn statistics_are_those_of_the_table() {
    let table: BTreeSet<_> = rows(STATISTICS, "MESH_STATISTIC").map(|row| row[0]).collect();
    assert_eq!(table, Statistics::NAMES.iter().copied().collect());
    let table: BTreeSet<_> = rows(STATISTICS, "MESH_CLASS_STATISTIC").map(|row| row[1]).collect();
    assert_eq!(table, ClassStatistics::NAMES.iter().copied().collect());
    assert!(table.contains("meshed"));
}
