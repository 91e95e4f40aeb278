// The example at the end of an operator's documentation, run by the tests.
#pragma once
#define NNLIB_EXAMPLE(call, result) "\n\n>>> " call "\n" result
