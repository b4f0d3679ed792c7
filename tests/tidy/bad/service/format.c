int add( int a, int b ) /* tidy: format */
{
    return a + b;
}
/* This comment is longer than the formatter can help, because it holds one_word_that_cannot_be_broken_at_all tidy: line-length */
