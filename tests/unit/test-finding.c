/* SPDX-License-Identifier: MIT */
/* Findings while they are written. */
#include <stdio.h>
#include <string.h>

#include "host/checks.h"
#include "unit.h"

struct seen {
	unsigned cnt;
	char last[2000];
	char all[400];
};

static void see(void *opaque, const struct vmtap_finding *f)
{
	struct seen *s = opaque;

	s->cnt++;
	snprintf(s->last, sizeof(s->last), "%d|%s|%s|%s|%s|%s", f->severity, f->check, f->object,
		 f->what, f->why, f->remedy);
	snprintf(s->all + strlen(s->all), sizeof(s->all) - strlen(s->all), "%d:%s ", f->severity,
		 f->object);
}

static int setup(void **state)
{
	static struct doctor d;
	static struct seen s;

	d = (struct doctor) { .found = see, .opaque = &s };
	s = (struct seen) { 0 };
	*state = &d;
	return 0;
}

static struct seen *seen(const struct doctor *d)
{
	return d->opaque;
}

static void an_object_without_a_finding_is_fine(void **state)
{
	struct doctor *d = *state;

	check_begin(d, "c", "all is well");
	about(d, "tap %s", "vm0");
	about(d, "tap %s", "vm1");
	finding(d, VMTAP_FINDING_ERROR, "bad");
	about(d, "tap %s", "vm2");
	check_end(d);
	assert_string_equal(seen(d)->all, "0:tap vm0 3:tap vm1 0:tap vm2 ");
	assert_string_equal(seen(d)->last, "0|c|tap vm2|all is well||");
	assert_int_equal(d->worst, VMTAP_FINDING_ERROR);
}

static void a_check_without_an_object_says_nothing(void **state)
{
	struct doctor *d = *state;

	check_begin(d, "c", "fine");
	check_end(d);
	assert_int_equal(seen(d)->cnt, 0);
}

static void why_and_remedy_belong_to_the_last_finding(void **state)
{
	struct doctor *d = *state;

	check_begin(d, "c", "fine");
	about(d, "x");
	finding(d, VMTAP_FINDING_NOTE, "one");
	why(d, "because");
	remedy(d, "mend %d", 1);
	finding(d, VMTAP_FINDING_WARNING, "two");
	assert_string_equal(seen(d)->last, "1|c|x|one|because|mend 1");
	check_end(d);
	assert_string_equal(seen(d)->last, "2|c|x|two||");
	assert_int_equal(seen(d)->cnt, 2);
}

static void control_characters_are_taken_out(void **state)
{
	struct doctor *d = *state;

	check_begin(d, "c", "fine");
	about(d, "a\x1b[31m\xff");
	finding(d, VMTAP_FINDING_NOTE, "\n\xc3\xa4\xc3");
	check_end(d);
	assert_string_equal(seen(d)->last, "1|c|a?[31m?|?\xc3\xa4?||");
}

static void long_texts_are_cut(void **state)
{
	struct doctor *d = *state;
	char text[2 * TEXT_SIZE];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	check_begin(d, "c", "fine");
	about(d, "%s", text);
	finding(d, VMTAP_FINDING_NOTE, "%s", text);
	check_end(d);
	assert_int_equal(strlen(d->text.what), TEXT_SIZE - 1);
}

static void words_are_quoted_for_the_shell(void **state)
{
	static const struct {
		const char *word, *quoted;
	} cases[] = {
		{ "br0", "br0" },
		{ "/run/x.sock", "/run/x.sock" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "a'b", "'a'\\''b'" },
		{ "$(x)", "'$(x)'" },
		{ "a\x1b'", "$'a\\x1b\\x27'" },
		{ "\xff\\", "$'\\xff\\x5c'" },
	};
	struct doctor *d = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(shell(d, cases[i].word), cases[i].quoted);
}

static void a_word_that_does_not_fit_is_cut_within_its_quotes(void **state)
{
	struct doctor *d = *state;
	char word[2 * SHELL_SIZE];
	const char *quoted;

	memset(word, '\'', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	quoted = shell(d, word);
	assert_true(strlen(quoted) < SHELL_SIZE);
	assert_int_equal(quoted[strlen(quoted) - 1], '\'');
	memset(word, 'x', sizeof(word) - 1);
	assert_true(strlen(shell(d, word)) < SHELL_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_object_without_a_finding_is_fine, setup),
		cmocka_unit_test_setup(a_check_without_an_object_says_nothing, setup),
		cmocka_unit_test_setup(why_and_remedy_belong_to_the_last_finding, setup),
		cmocka_unit_test_setup(control_characters_are_taken_out, setup),
		cmocka_unit_test_setup(long_texts_are_cut, setup),
		cmocka_unit_test_setup(words_are_quoted_for_the_shell, setup),
		cmocka_unit_test_setup(a_word_that_does_not_fit_is_cut_within_its_quotes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
