/* Configurations and databases as files: reading, paths, files that are missing or shared; the
 * examples. */
#include "service/toml.h"
#include "tests/service/config/load_text.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct folder {
    char path[64];
    int before;
};

/* A fresh folder, which is also the working directory. */
static int make_folder(void **state)
{
    static struct folder folder;
    snprintf(folder.path, sizeof folder.path, "/tmp/chatstore-config-XXXXXX");
    folder.before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &folder;
    return folder.before >= 0 && mkdtemp(folder.path) && chdir(folder.path) == 0 ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_folder(void **state)
{
    struct folder *folder = *state;
    if (fchdir(folder->before) != 0)
        return -1;
    close(folder->before);
    return nftw(folder->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct loaded load_file(const char *path)
{
    struct loaded loaded;
    loaded.status = config_load(path, &loaded.config, &loaded.report);
    return loaded;
}

static void assert_finding(const struct loaded *loaded, enum config_severity severity,
                           uint32_t line, const char *fragment)
{
    const struct config_finding *finding = find_text(loaded->report, fragment);
    if (!finding) {
        config_report_print(loaded->report, stderr);
        fail_msg("no finding says \"%s\"", fragment);
    }
    assert_int_equal(finding->severity, severity);
    assert_int_equal(finding->line, line);
}

static void relative_paths_start_at_the_files_folder(void **state)
{
    const struct folder *folder = *state;
    char expected[128];
    assert_int_equal(mkdir("sub", 0700), 0);
    write_file("sub/c.toml", "database.path = \"bot.db\"\n");
    struct loaded loaded = load_file("sub/c.toml");
    assert_int_equal(loaded.status, CONFIG_OK);
    snprintf(expected, sizeof expected, "%s/sub/bot.db", folder->path);
    assert_string_equal(loaded.config->sources[0].path, expected);
    assert_string_equal(loaded.config->origin, "sub/c.toml");
    loaded_free(&loaded);

    write_file("c.toml", "database.path = \"sub/bot.db\"\n");
    loaded = load_file("c.toml");
    assert_string_equal(loaded.config->sources[0].path, expected);
    loaded_free(&loaded);
}

static void a_file_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    static const char *const paths[] = {"none.toml", "none/c.toml", "/", "sub/", "", NULL};
    char line[512];
    assert_int_equal(mkdir("sub", 0700), 0);
    for (size_t i = 0; paths[i]; i++) {
        struct loaded loaded = load_file(paths[i]);
        assert_int_equal(loaded.status, CONFIG_NO_INPUT);
        assert_null(loaded.config);
        assert_int_equal(loaded.report->count, 1);
        config_finding_text(loaded.report, &loaded.report->findings[0], line, sizeof line);
        assert_non_null(strstr(line, ": error: cannot read the configuration: "));
        loaded_free(&loaded);
    }
    char long_path[5000];
    snprintf(long_path, sizeof long_path, "%04990d/c.toml", 0);
    struct loaded loaded = load_file(long_path);
    assert_int_equal(loaded.status, CONFIG_NO_INPUT);
    loaded_free(&loaded);
}

static void standard_input_is_read(void **state)
{
    (void)state;
    write_file("c.toml", "database.path = \"bot.db\"\nx = 1\n");
    FILE *before = stdin;
    stdin = fopen("c.toml", "r");
    assert_non_null(stdin);
    struct loaded loaded = load_file("-");
    fclose(stdin);
    stdin = before;
    assert_int_equal(loaded.status, CONFIG_INVALID);
    assert_string_equal(loaded.report->origin, "standard input");
    loaded_free(&loaded);
}

static void a_file_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    FILE *file = fopen("c.toml", "w");
    for (size_t bytes = 0; bytes <= TOML_TEXT_BYTES_MAX; bytes += 16)
        fputs("###############\n", file);
    fclose(file);
    struct loaded loaded = load_file("c.toml");
    assert_int_equal(loaded.status, CONFIG_INVALID);
    assert_finding(&loaded, CONFIG_ERROR, 1, "larger than 64 MiB");
    loaded_free(&loaded);
}

static void files_that_cannot_be_opened_make_a_source_unavailable(void **state)
{
    (void)state;
    write_file("file", "");
    assert_int_equal(mkdir("folder", 0700), 0);
    write_file("c.toml", "[database.sources]\n"
                         "created = { path = \"new.db\" }\n"
                         "gone = { path = \"gone.db\", readonly = true }\n"
                         "nowhere = { path = \"no/such/new.db\" }\n"
                         "folder = { path = \"folder\" }\n"
                         "below = { path = \"file/x.db\" }\n"
                         "default = { path = \"file\" }\n");
    struct loaded loaded = load_file("c.toml");
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_int_equal(loaded.report->count, 4);
    assert_int_equal(loaded.report->total[CONFIG_UNAVAILABLE], 4);
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 3, "gone.db: no such file, and a readonly");
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 4, "no/such does not exist; create it");
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 5, "is not a regular file");
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 6, "Not a directory");
    assert_int_equal(access("new.db", F_OK), -1); /* looking creates nothing */
    loaded_free(&loaded);
}

/* Rights are asked for the real user, whom root may change to see them refused. */
static void rights_are_looked_at(void **state)
{
    const struct folder *folder = *state;
    const uid_t nobody = 65534;
    bool is_root = geteuid() == 0;
    write_file("secret", "");
    write_file("fixed", "");
    assert_int_equal(chmod(folder->path, 0711), 0);
    assert_int_equal(mkdir("closed", 0555), 0);
    assert_int_equal(chmod("secret", 0), 0);
    assert_int_equal(chmod("fixed", 0444), 0);
    write_file("c.toml", "[database.sources]\n"
                         "secret = { path = \"secret\" }\n"
                         "fixed = { path = \"fixed\" }\n"
                         "default = { path = \"closed/new.db\" }\n");
    if (is_root)
        assert_int_equal(setreuid(nobody, (uid_t)-1), 0);
    struct loaded loaded = load_file("c.toml");
    if (is_root)
        assert_int_equal(setreuid(0, (uid_t)-1), 0);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 2, "cannot be read");
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 3, "or make it readonly");
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 4, "cannot be created");
    loaded_free(&loaded);
}

/* A configuration with a client and a key, of these modes; whose file and key it is is known. */
static void expect_modes(mode_t file_mode, mode_t key_mode, const char *part)
{
    char text[512];
    snprintf(text, sizeof text,
             "[database.sources]\ndefault = { path = \"new.db\" }\n[service.tls]\n"
             "certificate = \"c.pem\"\nkey = \"k.pem\"\n[[service.clients]]\nname = \"a\"\n"
             "read = [\"*\"]\ntoken-hash = \"sha256:%064d\"\n",
             0);
    write_file("c.toml", text);
    write_file("k.pem", "");
    assert_int_equal(chmod("c.toml", file_mode), 0);
    assert_int_equal(chmod("k.pem", key_mode), 0);
    struct loaded loaded = load_file("c.toml");
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_int_equal(loaded.report->total[CONFIG_WARNING], part ? 1 : 0);
    if (part)
        assert_non_null(find_text(loaded.report, part));
    loaded_free(&loaded);
}

static void files_that_others_may_change_are_told(void **state)
{
    (void)state;
    expect_modes(0600, 0600, NULL);
    expect_modes(0644, 0640, NULL);
    expect_modes(0620, 0600, "others than the server's user and root may write this file");
    expect_modes(0602, 0600, "so let themselves in");
    expect_modes(0600, 0644, "everybody on this machine may read the private key");
    expect_modes(0600, 0660, "may write the private key");
    assert_int_equal(chmod(".", 0720), 0);
    expect_modes(0600, 0600, "may write the folder of this configuration");
    assert_int_equal(chmod(".", 0702), 0);
    expect_modes(0600, 0600, "put another in its place");
    expect_modes(0602, 0600, "so let themselves in"); /* one of the two is enough */
    assert_int_equal(chmod(".", 0700), 0);
    if (geteuid() == 0) { /* else whose it is cannot be changed */
        assert_int_equal(chown("k.pem", 65534, (gid_t)-1), 0);
        expect_modes(0600, 0600, "may write the private key");
        assert_int_equal(chown("k.pem", 0, (gid_t)-1), 0);
        assert_int_equal(chown("c.toml", 65534, (gid_t)-1), 0);
        expect_modes(0600, 0600, "so let themselves in");
        assert_int_equal(chown("c.toml", 0, (gid_t)-1), 0);
        assert_int_equal(chmod(".", 01777), 0); /* as /tmp is */
        expect_modes(0600, 0600, NULL);
        assert_int_equal(chmod(".", 0700), 0);
        assert_int_equal(chown(".", 65534, (gid_t)-1), 0);
        expect_modes(0600, 0600, "put another in its place");
        assert_int_equal(chown(".", 0, (gid_t)-1), 0);
    }
    /* Without clients and keys it says nothing of who may call. */
    write_file("plain.toml", "[database.sources]\ndefault = { path = \"new.db\" }\n");
    assert_int_equal(chmod("plain.toml", 0666), 0);
    struct loaded loaded = load_file("plain.toml");
    assert_int_equal(loaded.report->count, 0);
    loaded_free(&loaded);
}

static long system_type; /* of all files; 0: what it is */

int __wrap_statfs(const char *path, struct statfs *system);
int __real_statfs(const char *path, struct statfs *system);
int __wrap_statfs(const char *path, struct statfs *system)
{
    int error = __real_statfs(path, system);
    if (error == 0 && system_type != 0)
        system->f_type = system_type;
    return error;
}

static void files_on_other_machines_are_told(void **state)
{
    (void)state;
    write_file("a.db", "");
    write_file("c.db", "");
    write_file("net.toml", "[database]\ndefault = \"a\"\n[database.sources]\n"
                           "a = { path = \"a.db\" }\n"
                           "b = { path = \"new.db\" }\n"
                           "c = { path = \"c.db\", readonly = true, immutable = true }\n");
    struct loaded loaded = load_file("net.toml");
    assert_int_equal(loaded.report->count, 0);
    loaded_free(&loaded);
    system_type = (int32_t)CIFS_SUPER_MAGIC; /* with its sign, as some architectures have it */
    loaded = load_file("net.toml");
    assert_int_equal(loaded.report->count, 2);
    assert_finding(&loaded, CONFIG_WARNING, 4, "a.db: is on a network file system (cifs)");
    assert_finding(&loaded, CONFIG_WARNING, 5, "new.db: is on a network file system (cifs)");
    loaded_free(&loaded);
    system_type = NFS_SUPER_MAGIC;
    loaded = load_file("net.toml");
    assert_finding(&loaded, CONFIG_WARNING, 4, "(nfs)");
    loaded_free(&loaded);
    system_type = 0;
}

static void two_names_of_one_file_are_an_error(void **state)
{
    (void)state;
    write_file("a.db", "");
    write_file("b.db", "");
    assert_int_equal(link("a.db", "hard.db"), 0);
    assert_int_equal(symlink("b.db", "soft.db"), 0);
    assert_int_equal(symlink(".", "here"), 0);
    write_file("c.toml", "[database.sources]\n"
                         "default = { path = \"a.db\" }\n"
                         "b = { path = \"b.db\" }\n"
                         "hard = { path = \"hard.db\" }\n"
                         "soft = { path = \"soft.db\", readonly = true }\n"
                         "new = { path = \"new.db\" }\n"
                         "new2 = { path = \"here/new.db\" }\n"
                         "other = { path = \"other.db\" }\n"
                         "m1 = { path = \":memory:\" }\n"
                         "m2 = { path = \":memory:\" }\n");
    struct loaded loaded = load_file("c.toml");
    assert_int_equal(loaded.status, CONFIG_INVALID);
    assert_int_equal(loaded.report->total[CONFIG_ERROR], 3);
    assert_finding(&loaded, CONFIG_ERROR, 4, "same file as source \"default\"");
    assert_finding(&loaded, CONFIG_ERROR, 5, "same file as source \"b\"");
    assert_finding(&loaded, CONFIG_ERROR, 7, "same file as source \"new\"");
    loaded_free(&loaded);
}

static struct loaded load_single(const char *path, bool readonly)
{
    struct loaded loaded;
    loaded.status = config_single(path, readonly, &loaded.config, &loaded.report);
    return loaded;
}

static void one_file_needs_no_configuration(void **state)
{
    const struct folder *folder = *state;
    char expected[128];
    snprintf(expected, sizeof expected, "%s/bot.db", folder->path);
    struct loaded loaded = load_single("bot.db", false);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_int_equal(loaded.report->count, 0);
    assert_int_equal(loaded.config->source_count, 1);
    assert_string_equal(loaded.config->sources[0].name, "default");
    assert_string_equal(loaded.config->sources[0].path, expected);
    assert_int_equal(loaded.config->limits.calls_per_frame_max, 1024);
    loaded_free(&loaded);

    loaded = load_single("bot.db", true);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_true(loaded.config->sources[0].readonly);
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 0, "no such file");
    loaded_free(&loaded);

    loaded = load_single(":memory:", false);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_true(loaded.config->sources[0].memory);
    loaded_free(&loaded);

    loaded = load_single("", false);
    assert_int_equal(loaded.status, CONFIG_INVALID);
    loaded_free(&loaded);
    loaded = load_single("a\nb", false);
    assert_int_equal(loaded.status, CONFIG_INVALID);
    loaded_free(&loaded);
    loaded = load_single("/no/such/bot.db", false);
    assert_finding(&loaded, CONFIG_UNAVAILABLE, 0, "does not exist");
    loaded_free(&loaded);
}

static void a_vanished_working_directory_is_told(void **state)
{
    const struct folder *folder = *state;
    assert_int_equal(mkdir("gone", 0700), 0);
    assert_int_equal(chdir("gone"), 0);
    assert_int_equal(rmdir("../gone"), 0);
    struct loaded loaded = load_single("bot.db", false);
    assert_int_equal(loaded.status, CONFIG_NO_INPUT);
    loaded_free(&loaded);
    assert_int_equal(chdir(folder->path), 0);
}

/* What each example is meant to show. */
static const struct {
    const char *name;
    size_t source_count;
    size_t mapping_count;
    size_t listen_count;
} examples[] = {
    {"basic", 1, 0, 0}, {"advanced", 3, 3, 2}, {"readonly-only", 2, 0, 1}, {"migration", 2, 2, 0}};

static void the_examples_load(void **state)
{
    (void)state;
    const char *root = getenv("CHATSTORE_SOURCE_DIR");
    assert_non_null(root);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/examples/config/%s.toml", root, examples[i].name);
        struct loaded loaded = load_file(path);
        if (loaded.status != CONFIG_OK || loaded.report->total[CONFIG_WARNING] > 0) {
            config_report_print(loaded.report, stderr);
            fail_msg("%s does not load cleanly", path);
        }
        assert_int_equal(loaded.config->source_count, examples[i].source_count);
        assert_int_equal(loaded.config->mapping_count, examples[i].mapping_count);
        assert_int_equal(loaded.config->listen_count, examples[i].listen_count);
        loaded_free(&loaded);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(relative_paths_start_at_the_files_folder),
        IN_FOLDER(a_file_that_cannot_be_read_is_told),
        IN_FOLDER(standard_input_is_read),
        IN_FOLDER(a_file_beyond_the_limit_is_refused),
        IN_FOLDER(files_that_cannot_be_opened_make_a_source_unavailable),
        IN_FOLDER(rights_are_looked_at),
        IN_FOLDER(files_that_others_may_change_are_told),
        IN_FOLDER(files_on_other_machines_are_told),
        IN_FOLDER(two_names_of_one_file_are_an_error),
        IN_FOLDER(one_file_needs_no_configuration),
        IN_FOLDER(a_vanished_working_directory_is_told),
        cmocka_unit_test(the_examples_load),
    };
    return cmocka_run_group_tests_name("config_files", tests, NULL, NULL);
}
