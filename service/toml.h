/* TOML for C: a parsed document as a plain tree, every node with its place in the text. The parser
 * is toml++ (toml.cc); this header is all that the rest of the program sees of it. */
#ifndef CHATSTORE_SERVICE_TOML_H
#define CHATSTORE_SERVICE_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A larger text is refused before it is parsed. */
#define TOML_TEXT_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* Values and dotted keys may nest so deep. */
enum { TOML_DEPTH_MAX = 32, TOML_ERROR_BYTES = 256 };

enum toml_type {
    TOML_TABLE,
    TOML_ARRAY,
    TOML_STRING,
    TOML_INTEGER,
    TOML_FLOAT,
    TOML_BOOLEAN,
    TOML_TIME /* dates and times; the value is not kept */
};

/* Both count from 1; columns count code points. 0 = unknown. */
struct toml_place {
    uint32_t line;
    uint32_t column;
};

struct toml_node {
    enum toml_type type;
    struct toml_place place;     /* of the value */
    struct toml_place key_place; /* of the key; in an array the same as place */
    const char *key;             /* ended by NUL, but may hold NUL too; NULL in an array */
    size_t key_bytes;
    const char *string; /* TOML_STRING; ended by NUL, but may hold NUL too */
    size_t string_bytes;
    int64_t integer;
    double number; /* TOML_FLOAT */
    bool boolean;
    const struct toml_node *children; /* of tables and arrays, in the order of the text */
    size_t child_count;
};

struct toml_error {
    struct toml_place place;
    char text[TOML_ERROR_BYTES];
};

struct toml_document;

/* Parse `bytes` bytes of UTF-8. Accepts TOML 1.0 and of 1.1 inline tables over several lines with
 * trailing commas and comments. Returns the document (free it with toml_free()), or NULL with
 * *error filled; the parser stops at the first error. Any thread. */
struct toml_document *toml_parse(const char *text, size_t bytes, struct toml_error *error);

/* The top table; lives as long as the document. */
const struct toml_node *toml_root(const struct toml_document *document);

/* NULL is allowed. */
void toml_free(struct toml_document *document);

/* For messages: "a table", "an integer". */
const char *toml_type_name(enum toml_type type);

#ifdef __cplusplus
}
#endif

#endif
