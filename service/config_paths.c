/* The files of the sources: absolute names, files that are named twice, files that cannot be opened
 * now. Only looks at names and inodes: opening and closing a database here would drop SQLite's
 * locks on it. */
#include "service/config_form.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

const char *config_absolute_path(struct config_arena *arena, const char *base_dir, const char *path)
{
    if (path[0] == '/')
        return config_copy(arena, path, strlen(path));
    while (strncmp(path, "./", 2) == 0 && path[2] != '/')
        path += 2;
    size_t base_bytes = strlen(base_dir);
    while (base_bytes > 0 && base_dir[base_bytes - 1] == '/')
        base_bytes--;
    char *absolute = config_alloc(arena, base_bytes + strlen(path) + 2, 1);
    if (!absolute)
        return NULL;
    memcpy(absolute, base_dir, base_bytes);
    absolute[base_bytes] = '/';
    memcpy(absolute + base_bytes + 1, path, strlen(path) + 1);
    return absolute;
}

/* What makes two names one file: the inode, or for a file that is not there yet the real name. */
struct identity {
    uint32_t source;
    bool exists;
    dev_t device;
    ino_t inode;
    const char *real_path;
};

static int compare_numbers(unsigned long long a, unsigned long long b)
{
    return (a > b) - (a < b);
}

static int compare_files(const struct identity *a, const struct identity *b)
{
    if (a->exists != b->exists)
        return a->exists ? -1 : 1;
    if (!a->exists)
        return strcmp(a->real_path, b->real_path);
    int order = compare_numbers(a->device, b->device);
    return order != 0 ? order : compare_numbers(a->inode, b->inode);
}

static int compare_identities(const void *a, const void *b)
{
    const struct identity *left = a;
    const struct identity *right = b;
    int order = compare_files(left, right);
    return order != 0 ? order : compare_numbers(left->source, right->source);
}

/* The folder of an absolute path, as written. */
static const char *folder_of(struct config_arena *arena, const char *path)
{
    size_t bytes = (size_t)(strrchr(path, '/') - path);
    return config_copy(arena, bytes > 0 ? path : "/", bytes > 0 ? bytes : 1);
}

static const char *real_path_of(struct config_arena *arena, const char *path)
{
    char real[PATH_MAX];
    const char *folder = folder_of(arena, path);
    if (!folder || !realpath(folder, real))
        return path;
    return config_absolute_path(arena, real, strrchr(path, '/') + 1);
}

static struct identity identify(struct config_reader *reader, const struct config_source *source,
                                uint32_t number)
{
    struct identity identity = {.source = number, .real_path = source->path};
    struct stat status;
    if (!reader->check_files)
        return identity;
    if (stat(source->path, &status) == 0) {
        identity.exists = true;
        identity.device = status.st_dev;
        identity.inode = status.st_ino;
    } else {
        const char *real = real_path_of(reader->arena, source->path);
        identity.real_path = real ? real : source->path;
    }
    return identity;
}

static struct config_where path_finding(const struct config_reader *reader, uint32_t source,
                                        enum config_severity severity)
{
    const struct form_source *form = &reader->form->sources[source];
    return (struct config_where){severity, form->path.place, form->key, NULL};
}

static void check_shared_files(struct config_reader *reader, const struct config_source *sources)
{
    size_t count = 0;
    struct identity *files = config_alloc(reader->arena, reader->form->source_count, sizeof *files);
    if (!files)
        return;
    for (uint32_t i = 0; i < reader->form->source_count; i++)
        if (sources[i].path && !sources[i].memory)
            files[count++] = identify(reader, &sources[i], i);
    qsort(files, count, sizeof *files, compare_identities);
    for (size_t i = 1; i < count; i++)
        if (compare_files(&files[i - 1], &files[i]) == 0)
            report_add(reader->report, path_finding(reader, files[i].source, CONFIG_ERROR),
                       "is the same file as source \"%s\" (%s): two sources with one file would "
                       "break its locks",
                       sources[files[i - 1].source].name, sources[files[i - 1].source].path);
}

static void check_missing_file(struct config_reader *reader, const struct config_source *source,
                               uint32_t number, int error)
{
    struct config_where where = path_finding(reader, number, CONFIG_UNAVAILABLE);
    const char *folder = folder_of(reader->arena, source->path);
    struct stat status;
    if (!folder)
        return;
    if (error != ENOENT)
        report_add(reader->report, where, "%s: %s", source->path, strerror(error));
    else if (source->readonly)
        report_add(reader->report, where,
                   "%s: no such file, and a readonly source is never created", source->path);
    else if (stat(folder, &status) != 0)
        report_add(reader->report, where, "%s: the folder %s does not exist; create it",
                   source->path, folder);
    else if (!S_ISDIR(status.st_mode))
        report_add(reader->report, where, "%s: %s is not a folder", source->path, folder);
    else if (access(folder, W_OK | X_OK) != 0)
        report_add(reader->report, where, "%s: cannot be created in %s: %s", source->path, folder,
                   strerror(errno));
}

/* The kind of file system if it is one whose files other machines may have open. */
static const char *network_name(const char *path)
{
    static const struct {
        uint32_t type;
        const char *name;
    } kinds[] = {{NFS_SUPER_MAGIC, "nfs"},   {CIFS_SUPER_MAGIC, "cifs"}, {SMB2_SUPER_MAGIC, "smb2"},
                 {SMB_SUPER_MAGIC, "smb"},   {V9FS_MAGIC, "9p"},         {FUSE_SUPER_MAGIC, "fuse"},
                 {CEPH_SUPER_MAGIC, "ceph"}, {AFS_SUPER_MAGIC, "afs"}};
    struct statfs system;
    if (statfs(path, &system) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if ((uint32_t)system.f_type == kinds[i].type)
            return kinds[i].name;
    }
    return NULL;
}

/* An immutable source takes no locks. */
static void check_file_system(struct config_reader *reader, const struct config_source *source,
                              uint32_t number)
{
    struct stat status;
    const char *there =
        stat(source->path, &status) == 0 ? source->path : folder_of(reader->arena, source->path);
    const char *name = there && !source->immutable ? network_name(there) : NULL;
    if (name)
        report_add(reader->report, path_finding(reader, number, CONFIG_WARNING),
                   "%s: is on a network file system (%s); SQLite's locks do not work on most of "
                   "them, and its WAL on none: keep the file on a local disk",
                   source->path, name);
}

static void check_file(struct config_reader *reader, const struct config_source *source,
                       uint32_t number)
{
    struct config_where where = path_finding(reader, number, CONFIG_UNAVAILABLE);
    struct stat status;
    if (stat(source->path, &status) != 0)
        check_missing_file(reader, source, number, errno);
    else if (!S_ISREG(status.st_mode))
        report_add(reader->report, where, "%s: is not a regular file", source->path);
    else if (access(source->path, R_OK) != 0)
        report_add(reader->report, where, "%s: cannot be read: %s", source->path, strerror(errno));
    else if (!source->readonly && access(source->path, W_OK) != 0)
        report_add(reader->report, where, "%s: cannot be written: %s; or make it readonly = true",
                   source->path, strerror(errno));
}

void config_check_paths(struct config_reader *reader, const struct config_source *sources)
{
    check_shared_files(reader, sources);
    if (!reader->check_files)
        return;
    for (uint32_t i = 0; i < reader->form->source_count; i++) {
        if (!sources[i].path || sources[i].memory)
            continue;
        check_file(reader, &sources[i], i);
        check_file_system(reader, &sources[i], i);
    }
}
