#include "report.h"

#include <inttypes.h>

static const struct quantile {
    const char *name;
    double share;
} quantiles[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}};

enum { QUANTILE_COUNT = sizeof quantiles / sizeof *quantiles };

static double quantile_us(const struct histogram *latency_ns, size_t i)
{
    return histogram_quantile(latency_ns, quantiles[i].share) / 1e3;
}

static double per_second(const struct driver_result *result)
{
    return result->seconds > 0 ? (double)result->calls / result->seconds : 0;
}

/* Failed calls cost too. */
static double per_call(const struct driver_result *result, double amount)
{
    uint64_t calls = result->calls + result->errors;
    return calls > 0 ? amount / (double)calls : 0;
}

static void print_json(FILE *out, const struct report_title *title,
                       const struct driver_result *result)
{
    fprintf(out, "{\"load\": \"%s\", \"url\": \"%s\", \"in_flight\": %u, \"rate\": %.0f, ",
            title->load, title->url, title->in_flight, title->rate_per_s);
    fprintf(out, "\"calls\": %" PRIu64 ", \"seconds\": %.3f, \"calls_per_second\": %.1f, ",
            result->calls, result->seconds, per_second(result));
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        fprintf(out, "\"%s\": %.2f, ", quantiles[i].name, quantile_us(&result->latency_ns, i));
    fprintf(out, "\"refused\": %" PRIu64 ", ", result->refused_ns.total);
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        fprintf(out, "\"refused_%s\": %.2f, ", quantiles[i].name,
                quantile_us(&result->refused_ns, i));
    fprintf(out, "\"errors\": %" PRIu64 ", \"client_cpu_us_per_call\": %.3f, ", result->errors,
            per_call(result, result->client.cpu_us));
    fprintf(out, "\"client_switches_per_call\": %.4f, \"client_rss_bytes\": %" PRIu64 ", ",
            per_call(result, (double)result->client.switches), result->client.rss_bytes);
    if (result->has_server)
        fprintf(out,
                "\"server_cpu_us_per_call\": %.3f, \"server_switches_per_call\": %.4f, "
                "\"server_rss_bytes\": %" PRIu64 ", \"server_threads\": %" PRIu64,
                per_call(result, result->server.cpu_us),
                per_call(result, (double)result->server.switches), result->server.rss_bytes,
                result->server.threads);
    else
        fprintf(out, "\"server_cpu_us_per_call\": null, \"server_switches_per_call\": null, "
                     "\"server_rss_bytes\": null, \"server_threads\": null");
    fprintf(out, "%s}\n", title->extra);
}

static void print_text(FILE *out, const struct report_title *title,
                       const struct driver_result *result)
{
    fprintf(out, "%s on %s, %u in flight", title->load, title->url, title->in_flight);
    if (title->rate_per_s > 0)
        fprintf(out, ", %.0f/s due", title->rate_per_s);
    fprintf(out, "\n  %" PRIu64 " calls in %.2f s: %.0f/s, %" PRIu64 " errors\n ", result->calls,
            result->seconds, per_second(result), result->errors);
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        fprintf(out, " %s %.1f ", quantiles[i].name, quantile_us(&result->latency_ns, i));
    if (result->refused_ns.total > 0) {
        fprintf(out, "\n  %" PRIu64 " of the errors were refused:", result->refused_ns.total);
        for (size_t i = 0; i < QUANTILE_COUNT; i++)
            fprintf(out, " %s %.1f ", quantiles[i].name, quantile_us(&result->refused_ns, i));
    }
    fprintf(out, "\n  client: %.2f us CPU, %.3f context switches per call\n",
            per_call(result, result->client.cpu_us),
            per_call(result, (double)result->client.switches));
    if (result->has_server)
        fprintf(out,
                "  server: %.2f us CPU, %.3f context switches per call; %.1f MiB, %" PRIu64
                " threads\n",
                per_call(result, result->server.cpu_us),
                per_call(result, (double)result->server.switches),
                (double)result->server.rss_bytes / 1048576, result->server.threads);
}

void report_print(FILE *out, const struct report_title *title, const struct driver_result *result,
                  bool json)
{
    if (json)
        print_json(out, title, result);
    else
        print_text(out, title, result);
    if (result->errors > 0)
        fprintf(stderr, "%s: the first failed call said: %s\n", title->load, result->error);
}
