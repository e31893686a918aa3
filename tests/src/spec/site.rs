//! Where the adapters make requests.

use std::{fs, path::Path};

/// Every place in an adapter's sources, tests left out, that makes a request: `calls.rs get(FETCH)`, sorted.
///
/// A contract test lists them, so that a new request cannot come without its contract.
///
/// # Panics
/// When there is no such adapter.
pub fn request_sites(adapter: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../voice-saas-providers/src")
        .join(adapter);
    let mut sites = Vec::new();
    visit(&folder, &mut sites);
    sites.sort();
    sites
}

fn visit(folder: &Path, sites: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the adapter's sources are there") {
        let path = entry.expect("the folder can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            visit(&path, sites);
        } else {
            let text = fs::read_to_string(&path).expect("sources are text");
            sites.extend(sites_in(&text).map(|site| format!("{name} {site}")));
        }
    }
}

fn sites_in(source: &str) -> impl Iterator<Item = String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    code.match_indices("Request::").filter_map(move |(at, name)| {
        // Other types' names may end like this.
        if code[..at].ends_with(char::is_alphanumeric) {
            return None;
        }
        let (verb, rest) = code[at + name.len()..].split_once('(')?;
        let operation = rest.split([',', ')']).next()?.trim();
        Some(format!("{verb}({operation})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_outside_of_tests() {
        let source = "let a = Request::get(FIND, path); PortRequest::new(a); send(Request::post(\n \"buy\",\n path))\n\
            #[cfg(test)] mod tests { Request::get(X, y) }";
        assert_eq!(
            sites_in(source).collect::<Vec<_>>(),
            ["get(FIND)", "post(\"buy\")"]
        );
    }
}
