"""What people hold, read as rows for training: one module for each dialect. `finetune.load` is the way in."""
