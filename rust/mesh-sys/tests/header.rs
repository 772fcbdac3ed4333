//! The bindings are those of the header: each function, structure and callback type of mesh/mesh.h
//! is in src/lib.rs with the types it has in C, and nothing else is.

use std::collections::BTreeSet;

const HEADER: &str = include_str!("../mesh/src/libmesh/mesh/mesh.h");
const BINDINGS: &str = include_str!("../src/lib.rs");

/// Words separated by single spaces, and none before or after punctuation.
fn squeeze(text: &str) -> String {
    let mut result = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["(", ")", "{", "}", ",", ";", ":", "=", "*"] {
        result = result.replace(&format!(" {}", mark), mark);
        if mark != "*" {
            result = result.replace(&format!("{} ", mark), mark);
        }
    }
    result.replace(",)", ")").replace(",}", "}").replace("->", " ->")
}

fn without(mut text: String, open: &str, close: &str) -> String {
    while let Some(start) = text.find(open) {
        let length = text[start..].find(close).expect("a comment ends") + close.len();
        text.replace_range(start..start + length, " ");
    }
    text
}

/// The declarations of a C header, without comments, preprocessor lines and attributes.
fn c_declarations(header: &str) -> Vec<String> {
    let text = without(header.to_string(), "/*", "*/").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = text.replace("extern \"C\" {", " ");
    let is_attribute = |word: &&str| word.starts_with("MESH_RETURNS_");
    let text = text.split_whitespace().filter(|word| !is_attribute(word));
    let text = squeeze(&text.collect::<Vec<_>>().join(" "));
    // A semicolon inside a structure separates its fields.
    let mut depth = 0;
    let mut found = vec![String::new()];
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match (c, depth) {
            (';', 0) => found.push(String::new()),
            // The one that ends `extern "C"`.
            ('}', -1) => {}
            _ => found.last_mut().unwrap().push(c),
        }
    }
    found.retain(|declaration| !declaration.trim().is_empty());
    found
}

/// A C type in Rust; `callbacks` are names of function types, pointers to which may be null.
fn rust_type(c: &str, callbacks: &BTreeSet<String>) -> String {
    if let Some(pointed) = c.strip_suffix('*') {
        if callbacks.contains(pointed) {
            return format!("Option<{}>", pointed);
        }
        return match pointed.strip_prefix("const ") {
            Some(constant) => format!("*const {}", rust_type(constant, callbacks)),
            None => format!("*mut {}", rust_type(pointed, callbacks)),
        };
    }
    let known = [
        ("void", "c_void"),
        ("char", "c_char"),
        ("int", "c_int"),
        ("size_t", "usize"),
        ("int64_t", "i64"),
        ("uint32_t", "u32"),
        ("uint64_t", "u64"),
    ];
    let found = known.iter().find(|(in_c, _)| *in_c == c);
    found.map_or(c, |(_, rust)| rust).to_string()
}

/// "size_t size" or "void*object" as type and name.
fn split_name(c: &str) -> (&str, &str) {
    let at = c.rfind(|x: char| !x.is_alphanumeric() && x != '_').expect("a type and a name") + 1;
    (c[..at].trim(), &c[at..])
}

/// "ret name(type name,...)" as name and the rest of a Rust function's declaration.
fn rust_signature(c: &str, callbacks: &BTreeSet<String>) -> (String, String) {
    let open = c.find('(').expect("a function");
    let (result, name) = split_name(&c[..open]);
    let list = c[open + 1..].strip_suffix(')').expect("parameters end the declaration");
    let mut parameters = Vec::new();
    for parameter in list.split(',').filter(|parameter| *parameter != "void") {
        let (c_type, name) = split_name(parameter);
        parameters.push(format!("{}:{}", name, rust_type(c_type, callbacks)));
    }
    let result = match result {
        "void" => String::new(),
        other => format!("-> {}", rust_type(other, callbacks)),
    };
    (name.to_string(), squeeze(&format!("({}){}", parameters.join(","), result)))
}

/// What src/lib.rs has to declare for a header, each as one squeezed line.
fn expected(header: &str) -> BTreeSet<String> {
    let declarations = c_declarations(header);
    let function_types: Vec<(String, String)> = declarations
        .iter()
        .filter_map(|declaration| declaration.strip_prefix("typedef "))
        .filter(|rest| rest.ends_with(')'))
        .map(|rest| rust_signature(rest, &BTreeSet::new()))
        .collect();
    let callbacks: BTreeSet<String> = function_types.iter().map(|(name, _)| name.clone()).collect();
    let mut lines = BTreeSet::new();
    for (name, signature) in function_types {
        lines.insert(squeeze(&format!("pub type {}=unsafe extern \"C\" fn{};", name, signature)));
    }
    for declaration in &declarations {
        if let Some(rest) = declaration.strip_prefix("typedef struct ") {
            lines.insert(rust_structure(rest, &callbacks));
        } else if !declaration.starts_with("typedef ") {
            let (name, signature) = rust_signature(declaration, &callbacks);
            lines.insert(format!("pub fn {}{};", name, signature));
        }
    }
    lines
}

/// "tag{type field;...}name", or "tag name" of a structure that is not told.
fn rust_structure(c: &str, callbacks: &BTreeSet<String>) -> String {
    let rest = match c.split_once('{') {
        Some((_, rest)) => rest,
        None => return format!("pub struct {}", split_name(c).1),
    };
    let (fields, name) = rest.split_once('}').expect("a structure ends");
    let mut result = Vec::new();
    for field in fields.split(';').filter(|field| !field.is_empty()) {
        let (c_type, name) = split_name(field);
        result.push(format!("pub {}:{}", name, rust_type(c_type, callbacks)));
    }
    format!("pub struct {}{{{}}}", name.trim(), result.join(","))
}

/// What src/lib.rs declares, in the same form.
fn declared(bindings: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.starts_with("//") && !line.starts_with('#')
    };
    let text = squeeze(&bindings.lines().filter(is_code).collect::<Vec<_>>().join("\n"));
    let mut lines = BTreeSet::new();
    for piece in text.split("pub ").skip(1) {
        let declaration = format!("pub {}", piece.trim_end());
        if piece.starts_with("fn ") || piece.starts_with("type ") {
            let end = declaration.find(';').expect("a declaration ends");
            lines.insert(declaration[..=end].to_string());
        } else if piece.starts_with("struct ") {
            lines.insert(structure_at(&text, &declaration));
        }
    }
    lines
}

/// A structure with its fields, of which `text` is all, or with its name alone if they are private.
fn structure_at(text: &str, declaration: &str) -> String {
    let head = &declaration[..declaration.find('{').expect("fields")];
    let start = text.find(&format!("{}{{", head)).expect("the structure");
    let end = start + text[start..].find('}').expect("a structure ends");
    match text[start..end].contains("pub ") && text[start + 4..end].contains("pub ") {
        true => text[start..=end].to_string(),
        false => head.to_string(),
    }
}

#[test]
fn bindings_are_those_of_the_header() {
    let (expected, declared) = (expected(HEADER), declared(BINDINGS));
    let missing: Vec<_> = expected.difference(&declared).collect();
    let foreign: Vec<_> = declared.difference(&expected).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "missing {missing:#?}, foreign {foreign:#?}");
    assert!(declared.iter().filter(|line| line.starts_with("pub fn mesh_")).count() >= 20);
}

#[test]
fn differences_are_seen() {
    let header = "/* A; comment. */\n#define X \\\n  int\nextern \"C\" {\n\
        typedef struct box box_t;\ntypedef struct pair { size_t a; int b; } pair_t;\n\
        typedef bool hook(box_t* box, const void* at);\n\
        MESH_RETURNS_OBJECT void* mesh_take(box_t* box,\n   hook* each, size_t n);\n\
        void mesh_end(void);\n}";
    let bindings = "pub struct box_t { _private: [u8; 0], }\n\
        pub struct pair_t { pub a: usize, pub b: c_int, }\n\
        pub type hook = unsafe extern \"C\" fn(box: *mut box_t, at: *const c_void) -> bool;\n\
        extern \"C\" { pub fn mesh_take(box: *mut box_t, each: Option<hook>, n: usize)\n\
        -> *mut c_void;\n /// Text.\n pub fn mesh_end(); }";
    assert_eq!(expected(header), declared(bindings));
    assert_eq!(5, declared(bindings).len());
    for (from, to) in [
        ("n: usize", "n: u32"),
        ("pub b: c_int", "pub b: u64"),
        ("each: Option<hook>", "each: hook"),
        (" -> bool", ""),
        ("mesh_end", "mesh_stop"),
    ] {
        assert_ne!(expected(header), declared(&bindings.replacen(from, to, 1)), "{from}");
    }
}
