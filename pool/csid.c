#include "csid.h"

#include <mbedtls/sha512.h>

#include <stdint.h>
#include <string.h>

enum { ARGUMENT_COUNT = 5, TOPIC = 1 };

static int hash_arguments(mbedtls_sha512_context *hash, sqlite3_value **values)
{
    static const char *const behind[ARGUMENT_COUNT] = {":", "_", ":", "-", ""};
    for (int i = 0; i < ARGUMENT_COUNT; i++) {
        const unsigned char *text = sqlite3_value_text(values[i]);
        size_t bytes = (size_t)sqlite3_value_bytes(values[i]);
        if (!text && i == TOPIC) {
            text = (const unsigned char *)"None";
            bytes = 4;
        }
        if (!text || mbedtls_sha512_update(hash, text, bytes) != 0 ||
            mbedtls_sha512_update(hash, (const unsigned char *)behind[i], strlen(behind[i])) != 0)
            return -1;
    }
    return 0;
}

static void summary_csid(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    unsigned char digest[64];
    mbedtls_sha512_context hash;
    mbedtls_sha512_init(&hash);
    int error = mbedtls_sha512_starts(&hash, 0);
    if (error == 0)
        error = hash_arguments(&hash, values);
    if (error == 0)
        error = mbedtls_sha512_finish(&hash, digest);
    mbedtls_sha512_free(&hash);
    if (error != 0) {
        sqlite3_result_error(context, "summary_csid: an argument other than the topic is NULL", -1);
        return;
    }
    char hex[2 * sizeof digest];
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    sqlite3_result_text(context, hex, sizeof hex, SQLITE_TRANSIENT);
}

int csid_register(sqlite3 *db)
{
    return sqlite3_create_function_v2(db, "summary_csid", ARGUMENT_COUNT,
                                      SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL,
                                      summary_csid, NULL, NULL, NULL);
}
