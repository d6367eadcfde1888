"""What checks the exercises of the lessons: a module `lesson_NN` for each, with a function `exN` for each exercise."""
