#include "paging.h"

#include "engine_internal.h"

#include "router/siphash.h"

#include "sql_blocks.h"

#include <mbedtls/base64.h>
#include <string.h>

enum { TOKEN_VERSION = 1, HASH_BYTES = 8, RESULT_BYTES = 256, SOURCE_BYTES = 160 };

/* Known to all: against mistakes, not against forgers, who would gain nothing. */
static const uint8_t hash_key[SIPHASH_KEY_BYTES] = "chatstore pages";

/* ---- What the request says ---- */

static uint32_t *page_size_of(const struct call_run *run)
{
    return (uint32_t *)((char *)run->request + run->call->page_size->offset);
}

static char **page_token_of(const struct call_run *run)
{
    return (char **)((char *)run->request + run->call->page_token->offset);
}

/* The call and all it was asked but for the page. False: no memory. */
static bool hash_arguments(const struct call_run *run, uint64_t *hash_out)
{
    static char empty[] = "";
    uint32_t page_size = *page_size_of(run);
    char *page_token = *page_token_of(run);
    *page_size_of(run) = 0;
    *page_token_of(run) = empty;
    size_t bytes = protobuf_c_message_get_packed_size(run->request);
    uint8_t *packed = arena_alloc(&run->frame->arena, bytes + 1);
    if (packed)
        protobuf_c_message_pack(run->request, packed);
    *page_size_of(run) = page_size;
    *page_token_of(run) = page_token;
    if (!packed)
        return false;
    const char *method = run->call->method;
    uint64_t hashes[] = {siphash(hash_key, (const uint8_t *)method, strlen(method)),
                         siphash(hash_key, packed, bytes)};
    *hash_out = siphash(hash_key, (const uint8_t *)hashes, sizeof hashes);
    return true;
}

/* ---- Tokens: version, arguments, rows before, source, values, checksum; in base64 ---- */

struct reader {
    const uint8_t *at, *end;
};

static bool read_fixed64(struct reader *reader, uint64_t *value_out)
{
    if (reader->end - reader->at < HASH_BYTES)
        return false;
    *value_out = fixed64_at(reader->at);
    reader->at += HASH_BYTES;
    return true;
}

static bool read_name(struct reader *reader, const char **name_out)
{
    const uint8_t *end = memchr(reader->at, 0, (size_t)(reader->end - reader->at));
    *name_out = (const char *)reader->at;
    if (end)
        reader->at = end + 1;
    return end != NULL;
}

static bool read_token(struct reader reader, struct paging *paging)
{
    uint64_t checksum;
    if (reader.end - reader.at < HASH_BYTES)
        return false;
    struct reader tail = {reader.end - HASH_BYTES, reader.end};
    read_fixed64(&tail, &checksum);
    reader.end -= HASH_BYTES;
    if (siphash(hash_key, reader.at, (size_t)(reader.end - reader.at)) != checksum ||
        reader.at == reader.end || *reader.at++ != TOKEN_VERSION ||
        !read_fixed64(&reader, &paging->arguments) ||
        !read_fixed64(&reader, &paging->rows_before) || !read_name(&reader, &paging->source))
        return false;
    paging->after = reader.at;
    paging->after_bytes = (size_t)(reader.end - reader.at);
    return true;
}

static bool take_token(struct call_run *run, const char *token, struct paging *paging)
{
    struct arena *arena = &run->frame->arena;
    size_t bytes = strlen(token), got = 0;
    uint8_t *raw = arena_alloc(arena, bytes + 1);
    uint64_t arguments = paging->arguments;
    if (!raw) {
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for its page_token",
                   run->call->name);
        return false;
    }
    if (mbedtls_base64_decode(raw, bytes, &got, (const unsigned char *)token, bytes) != 0 ||
        !read_token((struct reader){raw, raw + got}, paging)) {
        status_set(&run->status, STATUS_INVALID_ARGUMENT,
                   "%s: the page_token is none that this service gives; begin again without one",
                   run->call->name);
        return false;
    }
    if (paging->arguments != arguments ||
        (paging->limit >= 0 && paging->rows_before >= (uint64_t)paging->limit) ||
        !page_values_are_valid(paging->after, paging->after_bytes,
                               strlen(call_page_sql[run->call->id].directions))) {
        status_set(&run->status, STATUS_INVALID_ARGUMENT,
                   "%s: the page_token was given for another call or other arguments; from page to "
                   "page only page_size may change",
                   run->call->name);
        return false;
    }
    return true;
}

bool paging_begin(struct call_run *run)
{
    if (!run->call->page_size)
        return true;
    uint32_t page_size = *page_size_of(run);
    const char *token = *page_token_of(run);
    if (page_size == 0 && token[0] == '\0')
        return true;
    struct paging *paging = arena_alloc(&run->frame->arena, sizeof *paging);
    if (paging)
        *paging = (struct paging){.source = "", .limit = call_row_limit(run->call, run->request)};
    if (!paging || !hash_arguments(run, &paging->arguments)) {
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED, "%s: no memory for a page",
                   run->call->name);
        return false;
    }
    if (token[0] != '\0' && !take_token(run, token, paging))
        return false;
    paging->rows_max = page_size == 0 || page_size > PAGE_ROWS_MAX ? PAGE_ROWS_MAX : page_size;
    if (paging->limit >= 0 && paging->rows_max + paging->rows_before > (uint64_t)paging->limit)
        paging->rows_max = (size_t)((uint64_t)paging->limit - paging->rows_before);
    run->paging = paging;
    return true;
}

void paging_set_read(const struct call_run *run, struct page_read *read)
{
    const struct call_page_sql *page = &call_page_sql[run->call->id];
    const struct paging *paging = run->paging;
    *read = (struct page_read){.sql = page->sql,
                               .directions = page->directions,
                               .after = paging->after,
                               .after_bytes = paging->after_bytes,
                               .after_columns = paging->after ? strlen(page->directions) : 0};
}

size_t paging_bytes_kept(const struct call_run *run, size_t source_count)
{
    size_t bytes = RESULT_BYTES + source_count * SOURCE_BYTES;
    size_t bytes_max = run->frame->engine->limits.reply_bytes / 4;
    return bytes < bytes_max ? bytes : bytes_max;
}

/* ---- The next page ---- */

static void put_token(struct call_run *run, uint64_t rows, const char *source,
                      const uint8_t *values, size_t values_bytes)
{
    struct buffer raw, *out = &run->answer.payload;
    uint8_t start[512];
    uint8_t version = TOKEN_VERSION;
    buffer_init(&raw, start, sizeof start, out->bytes_max);
    buffer_append(&raw, &version, 1);
    buffer_fixed64(&raw, run->paging->arguments);
    buffer_fixed64(&raw, rows);
    buffer_append(&raw, source, strlen(source) + 1);
    buffer_append(&raw, values, values_bytes);
    buffer_fixed64(&raw, siphash(hash_key, raw.data, raw.bytes));
    size_t bytes = (raw.bytes + 2) / 3 * 4, written = 0;
    buffer_varint(out, wire_key(run->call->next_page_token->id, WIRE_LENGTH));
    buffer_varint(out, bytes);
    uint8_t *text = buffer_reserve(out, bytes + 1); /* it ends its text */
    if (raw.fault == BUFFER_OK && text &&
        mbedtls_base64_encode(text, bytes + 1, &written, raw.data, raw.bytes) == 0)
        out->bytes += written;
    else if (out->fault == BUFFER_OK)
        out->fault = BUFFER_NO_MEMORY;
    buffer_fini(&raw);
}

void paging_end(struct call_run *run, size_t rows, bool more, const char *source,
                const uint8_t *values, size_t values_bytes)
{
    uint64_t rows_now = run->paging->rows_before + rows;
    if (!more || (run->paging->limit >= 0 && rows_now >= (uint64_t)run->paging->limit))
        return;
    put_token(run, rows_now, source, values, values_bytes);
    if (run->answer.payload.fault == BUFFER_OK)
        return;
    status_set(&run->status, STATUS_RESOURCE_EXHAUSTED,
               "%s: one row and the token for the next page are larger than the limit of %u bytes "
               "(reply_bytes)",
               run->call->name, run->frame->engine->limits.reply_bytes);
}
