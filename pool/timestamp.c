#include "timestamp.h"

#include <stdio.h>

/* Days since 1970-01-01 of a civil date, and back; years counted from March so that the leap day
 * comes last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of(int64_t days, int *year_out, int *month_out, int *day_out)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    *day_out = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    *month_out = (int)(month < 10 ? month + 3 : month - 9);
    *year_out = (int)(year_of_era + era * 400 + (*month_out <= 2));
}

/* A cursor over the text; every reader leaves it unmoved when it fails. */
struct cursor {
    const char *at;
    const char *end;
};

static bool read_digits(struct cursor *cursor, int count, int64_t max, int64_t *value_out)
{
    if (cursor->end - cursor->at < count)
        return false;
    int64_t value = 0;
    for (int i = 0; i < count; i++) {
        char c = cursor->at[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    if (value > max)
        return false;
    cursor->at += count;
    *value_out = value;
    return true;
}

static bool read_char(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted)
        return false;
    cursor->at++;
    return true;
}

static bool read_date(struct cursor *cursor, int64_t *days_out)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day;
    if (!read_digits(cursor, 4, 9999, &year) || !read_char(cursor, '-') ||
        !read_digits(cursor, 2, 12, &month) || !read_char(cursor, '-') ||
        !read_digits(cursor, 2, 31, &day))
        return false;
    if (year < 1 || month < 1 || day < 1 || day > month_days[month - 1])
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2 && day == 29 && !leap)
        return false;
    *days_out = days_of(year, month, day);
    return true;
}

/* ".123456": up to nine digits count, more are read and dropped. */
static bool read_fraction(struct cursor *cursor, int32_t *nanos_out)
{
    int32_t nanos = 0;
    int digits = 0;
    int64_t digit;
    for (; read_digits(cursor, 1, 9, &digit); digits++) {
        if (digits < 9)
            nanos = nanos * 10 + (int32_t)digit;
    }
    if (digits == 0)
        return false;
    for (; digits < 9; digits++)
        nanos *= 10;
    *nanos_out = nanos;
    return true;
}

static bool read_clock(struct cursor *cursor, int64_t *seconds_out, int32_t *nanos_out)
{
    int64_t hour, minute, second = 0;
    if (!read_digits(cursor, 2, 23, &hour) || !read_char(cursor, ':') ||
        !read_digits(cursor, 2, 59, &minute))
        return false;
    if (read_char(cursor, ':')) {
        if (!read_digits(cursor, 2, 59, &second))
            return false;
        if (read_char(cursor, '.') && !read_fraction(cursor, nanos_out))
            return false;
    }
    *seconds_out = hour * 3600 + minute * 60 + second;
    return true;
}

static bool read_offset(struct cursor *cursor, int64_t *seconds_out)
{
    if (cursor->at == cursor->end || read_char(cursor, 'Z'))
        return true;
    bool east = read_char(cursor, '+');
    if (!east && !read_char(cursor, '-'))
        return false;
    int64_t hours, minutes = 0;
    if (!read_digits(cursor, 2, 23, &hours))
        return false;
    bool colon = read_char(cursor, ':');
    if ((colon || cursor->at < cursor->end) && !read_digits(cursor, 2, 59, &minutes))
        return false;
    *seconds_out = (hours * 3600 + minutes * 60) * (east ? 1 : -1);
    return true;
}

bool timestamp_parse(const char *text, size_t bytes, int64_t *seconds_out, int32_t *nanos_out)
{
    struct cursor cursor = {text, text + bytes};
    int64_t days, clock_seconds = 0, offset_seconds = 0;
    int32_t nanos = 0;
    if (!read_date(&cursor, &days))
        return false;
    if (read_char(&cursor, ' ') || read_char(&cursor, 'T')) {
        if (!read_clock(&cursor, &clock_seconds, &nanos) || !read_offset(&cursor, &offset_seconds))
            return false;
    }
    int64_t seconds = days * 86400 + clock_seconds - offset_seconds;
    if (cursor.at != cursor.end || seconds < TIMESTAMP_SECONDS_MIN ||
        seconds > TIMESTAMP_SECONDS_MAX)
        return false;
    *seconds_out = seconds;
    *nanos_out = nanos;
    return true;
}

void timestamp_format(int64_t seconds, char text_out[TIMESTAMP_TEXT_BYTES])
{
    int64_t days = seconds / 86400;
    int64_t rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int year, month, day;
    date_of(days, &year, &month, &day);
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d:%02d", year, month, day,
             (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    for (int i = 0; i < TIMESTAMP_TEXT_BYTES - 1; i++)
        text_out[i] = text[i];
    text_out[TIMESTAMP_TEXT_BYTES - 1] = '\0';
}
