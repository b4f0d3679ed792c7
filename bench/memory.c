#include "special.h"

#include "clock.h"
#include "data.h"
#include "route_cost.h"
#include "server.h"
#include "usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

enum { FEW_SOURCES = 10, SETTLE_MS = 500 };

/* A server at rest: after its first answer, and after one from each source. */
struct memory {
    struct usage idle, asked;
};

static struct usage settled(const struct server *server)
{
    struct usage usage;
    bench_sleep_until(bench_now_ns() + SETTLE_MS * (BENCH_SECOND_NS / 1000));
    usage_read(server->pid, &usage);
    return usage;
}

static bool measure(const struct options *options, uint64_t sources, uint64_t mapped,
                    struct memory *memory)
{
    struct scratch scratch;
    struct server server;
    if (!scratch_make(NULL, &scratch))
        return false;
    struct data_spec spec = {.dir = scratch.dir,
                             .sources = sources,
                             .chats = options->chats,
                             .users = options->users,
                             .messages = options->messages,
                             .mapped = mapped,
                             .seed = options->seed};
    bool measured = data_make(&spec) && server_start(options->server, scratch.dir, &server);
    if (measured) {
        measured = server_ask(&server, 0);
        memory->idle = settled(&server);
        for (uint64_t source = 0; measured && source < sources; source++)
            measured = server_ask(&server, source * options->chats);
        memory->asked = settled(&server);
        server_stop(&server);
    }
    scratch_remove(&scratch);
    return measured;
}

static double bytes_each(struct usage more, struct usage less, uint64_t count)
{
    double bytes = (double)more.rss_bytes - (double)less.rss_bytes;
    return count > 0 ? bytes / (double)count : 0;
}

static void print(const struct options *options, const struct memory *few,
                  const struct memory *many, const struct memory *mapped)
{
    double idle_each = bytes_each(many->idle, few->idle, options->sources);
    double asked_each = bytes_each(many->asked, few->asked, options->sources);
    double mapped_each = bytes_each(mapped->idle, few->idle, options->mapped);
    printf(options->json
               ? "{\"load\": \"memory\", \"idle_bytes\": %" PRIu64 ", \"asked_bytes\": %" PRIu64
                 ", \"more_sources\": %" PRIu64 ", \"idle_bytes_per_source\": %.0f, "
                 "\"asked_bytes_per_source\": %.0f, \"mapped\": %" PRIu64
                 ", \"bytes_per_mapped\": %.1f, \"threads\": %" PRIu64
                 ", \"threads_with_more_sources\": %" PRIu64 "}\n"
               : "memory of an idle server\n"
                 "  10 sources                   %12" PRIu64 " bytes\n"
                 "  ... each has answered        %12" PRIu64 " bytes\n"
                 "  %" PRIu64 " sources more: each       %12.0f bytes\n"
                 "  ... each has answered: each  %12.0f bytes\n"
                 "  %" PRIu64 " chats mapped: each       %12.1f bytes\n"
                 "  threads                      %12" PRIu64 ", with more sources %" PRIu64 "\n",
           few->idle.rss_bytes, few->asked.rss_bytes, options->sources, idle_each, asked_each,
           options->mapped, mapped_each, few->asked.threads, many->asked.threads);
}

int memory_run(const struct options *options)
{
    struct memory few, many, mapped;
    if (!measure(options, FEW_SOURCES, 0, &few) ||
        !measure(options, FEW_SOURCES + options->sources, 0, &many) ||
        !measure(options, FEW_SOURCES, options->mapped, &mapped))
        return EX_SOFTWARE;
    print(options, &few, &many, &mapped);
    return EX_OK;
}

int route_run(const struct options *options)
{
    struct route_cost cost;
    uint64_t mapped = options->mapped > 0 ? options->mapped : 1;
    route_cost_measure(options->sources, mapped, &cost);
    printf(options->json ? "{\"load\": \"route\", \"sources\": %" PRIu64 ", \"mapped\": %" PRIu64
                           ", \"explicit_ns\": %.1f, \"mapped_ns\": %.1f, \"default_ns\": %.1f, "
                           "\"calls_per_second\": %.0f, \"bytes_per_mapped\": %.1f}\n"
                         : "route with %" PRIu64 " sources, %" PRIu64 " chats mapped\n"
                           "  explicit %.1f ns, by chat %.1f ns, default %.1f ns; %.0f/s; %.1f "
                           "bytes per mapped chat\n",
           options->sources, mapped, cost.explicit_ns, cost.mapped_ns, cost.default_ns,
           1e9 / cost.mapped_ns, cost.bytes_per_mapped);
    return EX_OK;
}
