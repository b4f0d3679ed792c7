#include "fault_vfs.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

struct fault_file {
    sqlite3_file base;
    sqlite3_file real[]; /* as large as the real layer wants it */
};

static sqlite3_vfs *real_vfs;
static struct {
    _Atomic int error; /* 0: works */
    _Atomic unsigned spared;
    _Atomic bool once;
} faults[FAULT_OPERATIONS];
static _Atomic unsigned fault_counter;

static int fault_of(enum fault_operation operation)
{
    int error = faults[operation].error;
    if (error == 0)
        return SQLITE_OK;
    unsigned spared = atomic_load(&faults[operation].spared);
    while (spared > 0) {
        if (atomic_compare_exchange_weak(&faults[operation].spared, &spared, spared - 1))
            return SQLITE_OK;
    }
    if (faults[operation].once &&
        !atomic_compare_exchange_strong(&faults[operation].error, &error, 0))
        return SQLITE_OK;
    fault_counter++;
    return error;
}

/* At once: _exit() would let a sanitizer say good-bye first, which may take a second. */
static void end_process(void)
{
    syscall(SYS_exit_group, 0);
}

/* The same, and the process ends if that is the fault. */
static int end_or_fail(enum fault_operation operation)
{
    int error = fault_of(operation);
    if (error == FAULT_EXIT)
        end_process();
    return error;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)file)->real;
}

static int fault_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int fault_read(sqlite3_file *file, void *to, int bytes, sqlite3_int64 at)
{
    int error = end_or_fail(FAULT_READ);
    return error ? error : real_of(file)->pMethods->xRead(real_of(file), to, bytes, at);
}

static int fault_write(sqlite3_file *file, const void *from, int bytes, sqlite3_int64 at)
{
    int error = fault_of(FAULT_WRITE);
    if (error != SQLITE_FULL) {
        int written =
            real_of(file)->pMethods->xWrite(real_of(file), from, error ? bytes / 2 : bytes, at);
        error = error ? error : written;
    }
    if (error == FAULT_EXIT)
        end_process();
    return error;
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    int error = end_or_fail(FAULT_WRITE);
    return error ? error : real_of(file)->pMethods->xTruncate(real_of(file), bytes);
}

static int fault_sync(sqlite3_file *file, int flags)
{
    int error = end_or_fail(FAULT_SYNC);
    return error ? error : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *bytes_out)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), bytes_out);
}

static int fault_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int fault_check_lock(sqlite3_file *file, int *reserved_out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), reserved_out);
}

static int fault_control(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int fault_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int fault_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int fault_shm_map(sqlite3_file *file, int page, int bytes, int extend, void volatile **out)
{
    int error = end_or_fail(FAULT_SHARE);
    return error ? error
                 : real_of(file)->pMethods->xShmMap(real_of(file), page, bytes, extend, out);
}

static int fault_shm_lock(sqlite3_file *file, int first, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), first, count, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int fault_shm_unmap(sqlite3_file *file, int delete_it)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* with shared memory, without mmap of pages */
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_device,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    sqlite3_file *real = real_of(file);
    int error = end_or_fail(FAULT_OPEN);
    real->pMethods = NULL;
    if (error == SQLITE_OK)
        error = real_vfs->xOpen(real_vfs, name, real, flags, out);
    file->pMethods = real->pMethods ? &methods : NULL;
    return error;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int syncs)
{
    (void)vfs;
    int error = end_or_fail(FAULT_DELETE);
    return error ? error : real_vfs->xDelete(real_vfs, name, syncs);
}

void fault_vfs_install(void)
{
    static sqlite3_vfs vfs;
    if (real_vfs)
        return;
    real_vfs = sqlite3_vfs_find(NULL);
    assert_non_null(real_vfs);
    vfs = *real_vfs;
    vfs.zName = "fault";
    vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    vfs.xOpen = fault_open;
    vfs.xDelete = fault_delete;
    assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

static void arm(enum fault_operation operation, unsigned spared, int error, bool once)
{
    fault_counter = 0;
    faults[operation].once = once;
    faults[operation].spared = spared;
    faults[operation].error = error;
}

void fault_arm(enum fault_operation operation, unsigned spared, int error)
{
    arm(operation, spared, error, false);
}

void fault_arm_once(enum fault_operation operation, unsigned spared, int error)
{
    arm(operation, spared, error, true);
}

unsigned fault_count(void)
{
    return fault_counter;
}

void fault_clear(void)
{
    for (int i = 0; i < FAULT_OPERATIONS; i++)
        faults[i].error = 0;
}
