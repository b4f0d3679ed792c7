/* The command `token new`: a token for a bot, and what the server's configuration keeps of it. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { RANDOM_BYTES = 32, HASH_BYTES = 32, TOKEN_BYTES = 4 + 43 + 1, NAME_BYTES_MAX = 64 };

struct token {
    char text[TOKEN_BYTES]; /* "cst_" and 256 random bits in base64url */
    char hash[2 * HASH_BYTES + 1];
};

static bool token_make(struct token *token)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char random[RANDOM_BYTES + 1] = {0}, hash[HASH_BYTES];
    char *to = token->text;

    if (getrandom(random, RANDOM_BYTES, 0) != RANDOM_BYTES)
        return false;
    to = stpcpy(to, "cst_");
    for (size_t bit = 0; bit < 8 * (size_t)RANDOM_BYTES; bit += 6) {
        unsigned pair = (unsigned)random[bit / 8] << 8 | random[bit / 8 + 1];
        *to++ = digits[pair >> (10 - bit % 8) & 63];
    }
    *to = '\0';
    explicit_bzero(random, sizeof random);
    if (mbedtls_sha256((const unsigned char *)token->text, strlen(token->text), hash, 0) != 0)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++)
        snprintf(token->hash + 2 * i, 3, "%02x", hash[i]);
    return true;
}

/* A TOML string; false: it would need escapes that no name of ours needs. */
static bool is_plain(const char *text)
{
    return text[0] != '\0' && strpbrk(text, "\"\\\n\r\t") == NULL;
}

/* "a,b" as TOML: key = ["a", "b"]. */
static void print_list(FILE *to, const char *key, const char *names)
{
    fprintf(to, "%s = [", key);
    for (const char *at = names; *at != '\0';) {
        size_t bytes = strcspn(at, ",");
        fprintf(to, "%s\"%.*s\"", at == names ? "" : ", ", (int)bytes, at);
        at += bytes + (at[bytes] == ',');
    }
    fputs("]\n", to);
}

static char *make_toml(const struct cli_options *options, const char *name,
                       const struct token *token)
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    if (to == NULL)
        return NULL;
    fprintf(to, "[[service.clients]]\nname = \"%s\"\ntoken-hash = \"sha256:%s\"\n", name,
            token->hash);
    if (options->read != NULL)
        print_list(to, "read", options->read);
    if (options->write != NULL)
        print_list(to, "write", options->write);
    if (options->admin)
        fputs("admin = true\n", to);
    return fclose(to) == 0 ? text : NULL;
}

/* A file of the owner's alone, that was not there before. */
static int write_token(const char *path, const char *token)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = file >= 0 && dprintf(file, "%s\n", token) > 0 && fsync(file) == 0;

    if (!ok)
        fprintf(stderr, "chatstore: the token cannot be written to %s: %s\n", path,
                strerror(errno));
    if (file >= 0)
        close(file);
    return ok ? CLI_EXIT_OK : CLI_EXIT_IO;
}

static int print_json(const struct cli_options *options, const struct token *token,
                      const char *toml)
{
    json_t *object = json_pack("{s:s, s:s*}", "toml", toml, "token",
                               options->token_file == NULL ? token->text : NULL);

    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
    return CLI_EXIT_OK;
}

static int print_token(const struct cli_options *options, const struct token *token,
                       const char *toml)
{
    if (options->format == CLI_FORMAT_JSON)
        return print_json(options, token, toml);
    if (options->token_file != NULL)
        printf("# The token is in %s, for the bot: --token-file, or CHATSTORE_TOKEN.\n",
               options->token_file);
    else
        printf("# The token, shown this once, for the bot: CHATSTORE_TOKEN, or a file for "
               "--token-file.\n%s\n",
               token->text);
    printf("\n# For the server's configuration file; then `chatstore reload`.\n%s", toml);
    return CLI_EXIT_OK;
}

static int make_and_print(const struct cli_options *options, const char *name)
{
    struct token token;
    char *toml = token_make(&token) ? make_toml(options, name, &token) : NULL;
    int exit_status = CLI_EXIT_OK;

    if (toml == NULL) {
        fprintf(stderr, "chatstore: token new: no random numbers, or no memory\n");
        return CLI_EXIT_BUG;
    }
    if (options->token_file != NULL)
        exit_status = write_token(options->token_file, token.text);
    if (exit_status == CLI_EXIT_OK)
        exit_status = print_token(options, &token, toml);
    explicit_bzero(&token, sizeof token);
    free(toml);
    return exit_status;
}

int cli_run_token(const struct cli_options *options, char **words, int count)
{
    if (count != 2 || strcmp(words[0], "new") != 0) {
        fprintf(stderr, "chatstore: it is: chatstore token new NAME [--read SOURCE,...] "
                        "[--write SOURCE,...] [--admin]\n");
        return CLI_EXIT_USAGE;
    }
    if (!is_plain(words[1]) || strlen(words[1]) > NAME_BYTES_MAX ||
        (options->read != NULL && !is_plain(options->read)) ||
        (options->write != NULL && !is_plain(options->write))) {
        fprintf(stderr, "chatstore: token new: names are not empty and hold no quotes; a client's "
                        "has up to 64 bytes\n");
        return CLI_EXIT_USAGE;
    }
    if (options->read == NULL && options->write == NULL && !options->admin) {
        fprintf(stderr,
                "chatstore: token new %s: what may it do? Give --read SOURCE,..., --write "
                "SOURCE,... or --admin; '*' is every source\n",
                words[1]);
        return CLI_EXIT_USAGE;
    }
    return make_and_print(options, words[1]);
}
