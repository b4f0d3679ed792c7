// toml++ behind a C interface. Compiled without exceptions and RTTI: no C++ reaches the callers.
// toml++ must come from its header (the shared library of the distributions parses plain TOML 1.0,
// whatever this file is compiled with), so the build names no library of it.
#ifndef TOML_HEADER_ONLY
#define TOML_HEADER_ONLY 1
#endif
#ifndef TOML_ENABLE_UNRELEASED_FEATURES
#define TOML_ENABLE_UNRELEASED_FEATURES 1
#endif
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#define TOML_MAX_NESTED_VALUES 32
// toml++ 3.3.0 asserts what a wrong text can break ("[," ends the program) right before it reports
// the same as an error, and with NDEBUG lets the compiler assume it. Neither here.
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)

#include "service/toml.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <new>
#include <string_view>
#include <tuple>
#include <vector>

#include <toml++/toml.h>

static_assert(TOML_HEADER_ONLY == 1 && TOML_ENABLE_UNRELEASED_FEATURES == 1 &&
                  TOML_MAX_NESTED_VALUES == TOML_DEPTH_MAX,
              "toml++ would refuse inline tables over several lines");

struct toml_document {
    toml::table table; // owns the texts that the nodes point to
    std::deque<std::vector<toml_node>> children;
    toml_node root{};
};

namespace
{

toml_place place_of(const toml::source_region &region)
{
    return {region.begin.line, region.begin.column};
}

void set_error(toml_error *error, toml_place place, const char *text, size_t bytes)
{
    error->place = place;
    std::snprintf(error->text, sizeof error->text, "%.*s", static_cast<int>(bytes), text);
}

// toml++ bounds how deep values nest, but not how many parts a dotted key has, and it walks tables
// by recursion: a key of many thousand parts would exhaust the stack. This looks for such keys
// before it parses: it skips comments and strings as TOML does (where the text is wrong, toml++
// stops, so that what follows does not matter) and counts the dots between key parts.
class key_scanner
{
  public:
    explicit key_scanner(std::string_view text) : text_(text)
    {
    }

    bool finds_deep_key(toml_place *place)
    {
        while (at_ < text_.size()) {
            char c = text_[at_];
            if (c == '#') {
                skip_to_newline();
            } else if (c == '"' || c == '\'') {
                skip_string(c);
            } else {
                if (c == '.')
                    dots_++;
                else if (std::strchr("=,[]{}\n", c) && c != '\0')
                    dots_ = 0;
                if (dots_ >= TOML_DEPTH_MAX) {
                    *place = place_here();
                    return true;
                }
                at_++;
            }
        }
        return false;
    }

  private:
    bool has(char c, std::size_t at) const
    {
        return at < text_.size() && text_[at] == c;
    }

    void skip_to_newline()
    {
        at_ = std::min(text_.find('\n', at_), text_.size());
    }

    void skip_string(char quote)
    {
        bool multi_line = has(quote, at_ + 1) && has(quote, at_ + 2);
        at_ += multi_line ? 3 : 1;
        while (at_ < text_.size()) {
            if (text_[at_] == '\\' && quote == '"') {
                at_ += 2;
            } else if (multi_line && has(quote, at_) && has(quote, at_ + 1) &&
                       has(quote, at_ + 2)) {
                at_ += 3;
                // Up to two quotes may stand right before the three that end the string.
                for (int extra = 0; extra < 2 && has(quote, at_); extra++)
                    at_++;
                return;
            } else if (!multi_line && (text_[at_] == quote || text_[at_] == '\n')) {
                at_++;
                return;
            } else {
                at_++;
            }
        }
    }

    toml_place place_here() const
    {
        std::string_view before = text_.substr(0, at_);
        auto lines = std::count(before.begin(), before.end(), '\n');
        std::size_t newline = before.rfind('\n');
        std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
        return {static_cast<uint32_t>(lines + 1), static_cast<uint32_t>(at_ - line_begin + 1)};
    }

    std::string_view text_;
    std::size_t at_ = 0;
    unsigned dots_ = 0;
};

toml_node convert(toml_document &document, const toml::node &from);

// toml++ keeps tables sorted by key; the order of the text is that of the keys' places.
bool comes_before(const toml_node &a, const toml_node &b)
{
    return std::tie(a.key_place.line, a.key_place.column) <
           std::tie(b.key_place.line, b.key_place.column);
}

void adopt_children(toml_document &document, toml_node &parent, std::vector<toml_node> &&children)
{
    document.children.push_back(std::move(children));
    parent.children = document.children.back().data();
    parent.child_count = document.children.back().size();
}

void convert_table(toml_document &document, const toml::table &table, toml_node &to)
{
    std::vector<toml_node> children;
    children.reserve(table.size());
    for (const auto &[key, value] : table) {
        toml_node child = convert(document, value);
        child.key = key.str().data();
        child.key_bytes = key.length();
        child.key_place = place_of(key.source());
        if (child.place.line == 0)
            child.place = child.key_place;
        children.push_back(child);
    }
    std::stable_sort(children.begin(), children.end(), comes_before);
    adopt_children(document, to, std::move(children));
}

void convert_array(toml_document &document, const toml::array &array, toml_node &to)
{
    std::vector<toml_node> children;
    children.reserve(array.size());
    for (const auto &value : array) {
        toml_node child = convert(document, value);
        child.key_place = child.place;
        children.push_back(child);
    }
    adopt_children(document, to, std::move(children));
}

toml_node convert(toml_document &document, const toml::node &from)
{
    toml_node to{};
    to.place = place_of(from.source());
    switch (from.type()) {
    case toml::node_type::table:
        to.type = TOML_TABLE;
        convert_table(document, *from.as_table(), to);
        break;
    case toml::node_type::array:
        to.type = TOML_ARRAY;
        convert_array(document, *from.as_array(), to);
        break;
    case toml::node_type::string:
        to.type = TOML_STRING;
        to.string = from.as_string()->get().c_str();
        to.string_bytes = from.as_string()->get().size();
        break;
    case toml::node_type::integer:
        to.type = TOML_INTEGER;
        to.integer = from.as_integer()->get();
        break;
    case toml::node_type::floating_point:
        to.type = TOML_FLOAT;
        to.number = from.as_floating_point()->get();
        break;
    case toml::node_type::boolean:
        to.type = TOML_BOOLEAN;
        to.boolean = from.as_boolean()->get();
        break;
    default:
        to.type = TOML_TIME;
    }
    return to;
}

} // namespace

extern "C" {

struct toml_document *toml_parse(const char *text, size_t bytes, struct toml_error *error)
{
    static const char too_large[] = "the file is larger than 64 MiB";
    static const char too_deep[] = "a key has more than 32 parts";
    static const char no_memory[] = "out of memory";

    *error = toml_error{};
    std::string_view view(bytes > 0 ? text : "", bytes);
    toml_place place{};
    if (bytes > TOML_TEXT_BYTES_MAX) {
        set_error(error, {1, 1}, too_large, sizeof too_large - 1);
        return nullptr;
    }
    if (key_scanner(view).finds_deep_key(&place)) {
        set_error(error, place, too_deep, sizeof too_deep - 1);
        return nullptr;
    }
    toml::parse_result result = toml::parse(view);
    if (!result) {
        std::string_view why = result.error().description();
        set_error(error, place_of(result.error().source()), why.data(), why.size());
        return nullptr;
    }
    auto *document = new (std::nothrow) toml_document;
    if (!document) {
        set_error(error, {0, 0}, no_memory, sizeof no_memory - 1);
        return nullptr;
    }
    document->table = std::move(result).table();
    document->root = convert(*document, document->table);
    return document;
}

const struct toml_node *toml_root(const struct toml_document *document)
{
    return &document->root;
}

void toml_free(struct toml_document *document)
{
    delete document;
}

const char *toml_type_name(enum toml_type type)
{
    switch (type) {
    case TOML_TABLE:
        return "a table";
    case TOML_ARRAY:
        return "an array";
    case TOML_STRING:
        return "a string";
    case TOML_INTEGER:
        return "an integer";
    case TOML_FLOAT:
        return "a float";
    case TOML_BOOLEAN:
        return "a boolean";
    case TOML_TIME:
        return "a date or time";
    }
    return "nothing";
}
}
