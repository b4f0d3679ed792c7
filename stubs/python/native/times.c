#include "native.h"

#include <datetime.h>

bool times_import(void)
{
    PyDateTime_IMPORT;
    return PyDateTimeAPI != NULL;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar, by eras of 400 years that begin in
 * March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
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

static bool encode_naive(PyObject *value, struct out *out)
{
    int64_t days =
        days_of(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value));
    int64_t seconds = days * 86400 + PyDateTime_DATE_GET_HOUR(value) * 3600 +
                      PyDateTime_DATE_GET_MINUTE(value) * 60 + PyDateTime_DATE_GET_SECOND(value);
    int64_t nanos = (int64_t)PyDateTime_DATE_GET_MICROSECOND(value) * 1000;
    size_t mark;
    return out_open_length(out, &mark) &&
           (seconds == 0 || (out_varint(out, 0x08) && out_varint(out, (uint64_t)seconds))) &&
           (nanos == 0 || (out_varint(out, 0x10) && out_varint(out, (uint64_t)nanos))) &&
           out_close_length(out, mark);
}

bool time_encode(PyObject *value, const char *message, PyObject *name, struct out *out)
{
    if (!PyDateTime_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s: %U must be a datetime, not %s", message, name,
                     Py_TYPE(value)->tp_name);
        return false;
    }
    if (PyDateTime_DATE_GET_TZINFO(value) == Py_None)
        return encode_naive(value, out);
    PyObject *utc = PyObject_CallMethod(value, "astimezone", "O", PyDateTime_TimeZone_UTC);
    bool encoded = utc && encode_naive(utc, out);
    Py_XDECREF(utc);
    return encoded;
}

PyObject *time_decode(struct in in, const char *message, PyObject *zone)
{
    uint64_t key, value;
    int64_t seconds = 0, nanos = 0;
    while (in.at < in.end) {
        if (!in_varint(&in, &key) || !in_varint(&in, &value) || (key != 0x08 && key != 0x10))
            return PyErr_Format(PyExc_ValueError, "the bytes are no %s", message);
        *(key == 0x08 ? &seconds : &nanos) = (int64_t)value;
    }
    /* The years 1 to 9999. */
    if (seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999999999)
        return PyErr_Format(PyExc_ValueError, "%s: a time outside of the years 1 to 9999", message);
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    int second_of_day = (int)(seconds - days * 86400);
    int year, month, day;
    date_of(days, &year, &month, &day);
    return PyDateTimeAPI->DateTime_FromDateAndTime(
        year, month, day, second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60,
        (int)(nanos / 1000), zone, PyDateTimeAPI->DateTimeType);
}
