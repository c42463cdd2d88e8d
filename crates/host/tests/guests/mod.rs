//! Tiny guests, written as WebAssembly text.

/// What every guest has; its own code is appended.
const FRAME: &str = r#"
  (import "wapc" "__guest_request" (func $guest_request (param i32 i32)))
  (import "wapc" "__guest_response" (func $guest_response (param i32 i32)))
  (import "wapc" "__guest_error" (func $guest_error (param i32 i32)))
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response" (func $host_response (param i32)))
  (import "wapc" "__host_response_len" (func $host_response_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__console_log" (func $console_log (param i32 i32)))
  (memory (export "memory") 2)
"#;

fn compile(source: &str) -> Vec<u8> {
    wat::parse_str(source).expect("the test's own WebAssembly text")
}

/// A guest with this body of `__guest_call`, and these further fields.
pub fn guest(fields: &str, body: &str) -> Vec<u8> {
    compile(&format!(
        r#"(module {FRAME} {fields} (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32) {body}))"#
    ))
}

/// A guest that answers every operation with the same text.
pub fn answering(answer: &str) -> Vec<u8> {
    let data = answer.replace('\\', "\\\\").replace('"', "\\\"");
    guest(
        &format!(r#"(data (i32.const 0) "{data}")"#),
        &format!("(call $guest_response (i32.const 0) (i32.const {})) (i32.const 1)", answer.len()),
    )
}

/// A guest that hands the request to the host as a lookup, and answers with the host's answer as the mutated object or
/// with its error. Settings must be one character long.
pub fn asking(namespace: &str, operation: &str) -> Vec<u8> {
    asking_with(namespace, operation, "")
}

/// The same with metadata.
pub fn annotated(metadata: &str) -> Vec<u8> {
    let metadata = metadata.replace('"', "\\\"");
    asking_with("kubernetes", "get_resource", &format!(r#"(@custom "io.kubewarden.metadata" "{metadata}")"#))
}

fn asking_with(namespace: &str, operation: &str, section: &str) -> Vec<u8> {
    let head = r#"{\"accepted\":true,\"message\":null,\"mutated_object\":"#;
    let fields = format!(
        r#"{section} (data (i32.const 0) "kubewarden") (data (i32.const 100) "{namespace}") (data (i32.const 200) "{operation}") (data (i32.const 65536) "{head}") (global $length (mut i32) (i32.const 0))"#
    );
    // The request starts after `{"request":`, and `,"settings":0}` follows it.
    let body = format!(
        r"(call $guest_request (i32.const 900) (i32.const 1000))
          (if (result i32) (call $host_call
                (i32.const 0) (i32.const 10) (i32.const 100) (i32.const {namespace_length}) (i32.const 200) (i32.const {operation_length})
                (i32.const 1011) (i32.sub (local.get $payload) (i32.const 25)))
            (then
              (call $host_response (i32.const {after_head}))
              (global.set $length (call $host_response_len))
              (i32.store8 (i32.add (i32.const {after_head}) (global.get $length)) (i32.const 125))
              (call $guest_response (i32.const 65536) (i32.add (i32.const {head_length}) (i32.add (global.get $length) (i32.const 1))))
              (i32.const 1))
            (else
              (call $host_error (i32.const 65536))
              (call $guest_error (i32.const 65536) (call $host_error_len))
              (i32.const 0)))",
        namespace_length = namespace.len(),
        operation_length = operation.len(),
        head_length = head.replace('\\', "").len(),
        after_head = 65536 + head.replace('\\', "").len(),
    );
    guest(&fields, &body)
}
