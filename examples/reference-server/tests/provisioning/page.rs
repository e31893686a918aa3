//! `docs/provisioning.md` says what came of each cell.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Mutex, PoisonError},
};

use crate::matrix::{Matrix, Row};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/provisioning.md");

/// How much of a section a test tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it: the page holds these cells and no others.
    Whole,
    /// Some of its cells: the page says the same of them.
    Part,
}

/// Sees whether the page agrees with what came of the cells; with `UPDATE_DOCS`, makes it so.
#[expect(clippy::disallowed_methods, reason = "the one setting of these tests")]
pub(crate) fn agree(matrix: &Matrix, rows: &[Row]) {
    static PAGE: Mutex<()> = Mutex::new(());
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let page = fs::read_to_string(FILE).expect("the page can be read");
    let (before, there, after) = section(&page, matrix.section).expect("the page has the section");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        if matrix.extent == Extent::Part {
            return;
        }
        let page = format!("{before}\n\n{}\n{after}", matrix.table(rows));
        fs::write(FILE, page).expect("the page can be written");
        return;
    }
    let said = read(there);
    let known = |row: &Row| {
        said.iter().any(|said| match matrix.extent {
            Extent::Whole => said == row,
            Extent::Part => is_part(row, said),
        })
    };
    let unknown: Vec<_> = rows.iter().filter(|row| !known(row)).collect();
    let found: BTreeSet<_> = rows.iter().collect();
    let stale: Vec<_> = said.iter().filter(|said| !found.contains(said)).collect();
    let stale = if matrix.extent == Extent::Whole {
        stale
    } else {
        Vec::new()
    };
    assert!(
        unknown.is_empty() && stale.is_empty(),
        "docs/provisioning.md, {}: says nothing of {unknown:#?}, and of what is not so: {stale:#?}",
        matrix.section
    );
}

/// The page around a section's table, and the table.
fn section<'a>(page: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let begin = format!("<!-- {name} -->");
    let at = page.find(&begin)? + begin.len();
    let (before, rest) = page.split_at(at);
    let end = rest.find("<!-- end -->")?;
    let (table, after) = rest.split_at(end);
    Some((before, table, after))
}

/// The rows of a table in Markdown.
fn read(table: &str) -> Vec<Row> {
    let lines = table.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.trim_matches('|');
        Row(line.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    lines.skip(2).map(cells).collect()
}

/// Whether what was tried is said so.
fn is_part(tried: &Row, said: &Row) -> bool {
    let mut cells = tried.0.iter().zip(&said.0);
    tried.0.len() == said.0.len()
        && tried.0[..2] == said.0[..2]
        && cells.all(|(tried, said)| tried.is_empty() || tried == said)
}
